"""Disturbances as in amateur and telephone recordings: hum, rumble, noise and missing low frequencies."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from training.corpora.condition import rms
from training.data.augment import between
from vocoder.config import POSITIVE, Checked, Range, Share

_HARMONICS = 8
_MAINS = (50.0, 60.0)  # Hz
_LOWEST = 30.0  # Hz; below, noise has a constant spectrum
_STEEPNESS = (2.0, 8.0)  # of the high-pass, in powers of the frequency

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class DisturbanceConfig(Checked):
    """How often and how far segments are disturbed; levels are relative to the segment's root mean square."""

    high_pass: Share = 0.3
    """share of segments without low frequencies, as on a telephone"""
    high_pass_hz: Annotated[Range, POSITIVE] = (80.0, 400.0)
    noise: Share = 0.5
    """share of segments with noise of a colour between white and brown"""
    noise_db: Annotated[Range, (-100, 100)] = (-50.0, -8.0)
    hum: Share = 0.3
    """share of segments with mains hum, as it sounds at the playing speed"""
    hum_db: Annotated[Range, (-100, 100)] = (-40.0, 0.0)
    speeds: Annotated[Range, POSITIVE] = (0.55, 1.0)
    rumble: Share = 0.25
    """share of segments with noise below 100 Hz"""
    rumble_db: Annotated[Range, (-100, 100)] = (-30.0, 3.0)


def disturbed(x: Floats, sample_rate: int, config: DisturbanceConfig, rng: np.random.Generator) -> Floats:
    """Return a segment (T,) as recorded with a worse microphone or line."""
    chances, level = rng.random(4), rms(x)
    frequency = np.maximum(np.fft.rfftfreq(len(x), 1 / sample_rate), _LOWEST)
    y = x.astype(np.float64)
    if chances[0] < config.noise:
        colour = (frequency / 1000) ** -rng.uniform(0, 1)
        y += level * _gain(config.noise_db, rng) * _coloured(colour, len(x), rng)
    if chances[1] < config.high_pass:
        low, high = config.high_pass_hz
        edge, power = low * (high / low) ** rng.random(), rng.uniform(*_STEEPNESS)
        y = np.fft.irfft(np.fft.rfft(y) / np.sqrt(1 + (edge / frequency) ** power), len(x))
    if chances[2] < config.hum:
        speed = between(config.speeds, rng.random())
        y += level * _gain(config.hum_db, rng) * _hum(len(x), sample_rate, speed, rng)
    if chances[3] < config.rumble:
        below = 1 / (1 + (frequency / rng.uniform(30, 100)) ** 4)
        y += level * _gain(config.rumble_db, rng) * _coloured(below, len(x), rng)
    return y.astype(np.float32)


def _coloured(colour: NDArray[np.float64], length: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return noise (length,) of root mean square 1 with the spectrum `colour` (length // 2 + 1,)."""
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(length)) * colour, length)
    return np.asarray(noise / rms(noise))


def _hum(length: int, sample_rate: int, speed: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return hum (length,) of root mean square 1: mains at a playing speed, with random harmonics."""
    phase = 2 * np.pi * speed * rng.choice(_MAINS) * np.arange(length) / sample_rate
    strengths = rng.random(_HARMONICS) ** np.arange(1, _HARMONICS + 1)
    hum = sum(s * np.sin(n * phase + rng.uniform(0, 2 * np.pi)) for n, s in enumerate(strengths, start=1))
    return np.asarray(hum / rms(hum))


def _gain(decibels: tuple[float, ...], rng: np.random.Generator) -> float:
    return float(10 ** (between(decibels, rng.random()) / 20))
