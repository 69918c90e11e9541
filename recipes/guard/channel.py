"""Variation of recordings: other microphones, rooms, codecs and levels."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import av
import librosa
import numpy as np

from training.data.augment import AugmentConfig, augmented
from vocoder.config import ConfigError

__all__ = ["CODECS", "ChannelConfig", "at_rate", "coded", "expanded", "from_elsewhere"]

_ENVELOPE = 0.03  # seconds over which loudness is measured
_EXPONENTS = (-0.4, 0.8)  # of the gain by which it is changed

CODECS: dict[str, tuple[str, str, int, tuple[int, ...]]] = {
    "mp3": ("mp3", "libmp3lame", 22050, (24000, 48000)),
    "opus": ("ogg", "libopus", 24000, (10000, 32000)),
    "opus-narrow": ("ogg", "libopus", 8000, (8000, 16000)),
    "mulaw": ("wav", "pcm_mulaw", 8000, ()),
    "amr": ("amr", "libopencore_amrnb", 8000, (4750, 12200)),
    "g722": ("g722", "g722", 16000, ()),
}
"""container, encoder, sample rate in Hz, and the range of its bit rates"""


@dataclass(frozen=True)
class ChannelConfig:
    """How far recordings are varied.

    Raises:
        ConfigError: a value is out of range.
    """

    augment: AugmentConfig = field(
        default_factory=lambda: AugmentConfig(
            equaliser_db=12.0, low_pass=0.35, low_pass_hz=(3400.0, 11000.0), noise=0.4, reverberation=0.3
        )
    )
    dynamics: float = 0.5
    """share of recordings whose loudness is compressed or expanded"""
    codec: float = 0.25
    """share of recordings that went through a codec"""
    rms_db: tuple[float, ...] = (-50.0, -14.0)
    """range of the level, in decibels of full scale"""
    sixteen_bits: float = 0.7
    """share of recordings that are rounded to 16 bits in the end"""

    def __post_init__(self) -> None:
        if not all(0 <= share <= 1 for share in (self.dynamics, self.codec, self.sixteen_bits)):
            raise ConfigError(f"dynamics, codec and sixteen_bits are shares of recordings, from 0 to 1: {self}")
        if len(self.rms_db) != 2 or self.rms_db[0] > self.rms_db[1]:
            raise ConfigError(f"rms_db must be a range [low, high], not {list(self.rms_db)}")


def from_elsewhere(
    x: np.ndarray, band: float, sample_rate: int, config: ChannelConfig, rng: np.random.Generator
) -> np.ndarray:
    """Return a varied recording (T,) float32 of another level.

    Args:
        x: (T,) float32.
        band: edge of its band in Hz.
        sample_rate: in Hz.
        config: how often and how far.
        rng: of all choices.
    """
    if rng.random() < config.dynamics:
        x = expanded(x, rng.uniform(*_EXPONENTS), sample_rate)
    x, _ = augmented(x, band, sample_rate, config.augment, rng)
    low, high = config.rms_db
    level = 10 ** ((low + (high - low) * rng.random()) / 20)
    x = np.clip(x * (level / max(float(np.sqrt(np.mean(np.square(x)))), 1e-6)), -1.0, 1.0).astype(np.float32)
    if rng.random() < config.codec:
        name = tuple(CODECS)[int(rng.integers(len(CODECS)))]
        x = coded(x, sample_rate, name, rng)
    return np.round(x * 32768).astype(np.float32) / 32768 if rng.random() < config.sixteen_bits else x


def expanded(x: np.ndarray, exponent: float, sample_rate: int) -> np.ndarray:
    """Return audio (T,) with its envelope to a power: above 0 what is quiet becomes quieter, below 0 louder.

    Args:
        x: (T,) float32.
        exponent: of the gain; 1 doubles all differences of level, -1 takes them away.
        sample_rate: in Hz.
    """
    width = max(1, round(_ENVELOPE * sample_rate))
    energy = np.convolve(np.square(x, dtype=np.float64), np.full(width, 1 / width), mode="same")
    level = np.sqrt(energy / max(float(energy.max()), 1e-12) + 1e-8)
    return (x * level**exponent).astype(np.float32)


def coded(x: np.ndarray, sample_rate: int, name: str, rng: np.random.Generator) -> np.ndarray:
    """Return audio (T,) as a codec of `CODECS` gives it back, padded or cut to its length."""
    container, encoder, rate, bits = CODECS[name]
    y = at_rate(x, sample_rate, rate)
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(encoder, rate=rate, layout="mono")
        if bits:
            stream.bit_rate = int(rng.integers(bits[0], bits[1] + 1))
        frame = av.AudioFrame.from_ndarray(
            np.clip(np.round(y * 32767), -32768, 32767).astype(np.int16)[None], format="s16", layout="mono"
        )
        frame.sample_rate = rate
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=rate, frame_size=stream.frame_size or 0)
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    file.seek(0)
    parts = []
    with av.open(file, format=container) as source:
        back = av.AudioResampler(format="flt", layout="mono", rate=rate)
        for decoded in source.decode(audio=0):
            parts += [part.to_ndarray()[0] for part in back.resample(decoded)]
    z = at_rate(np.concatenate(parts), rate, sample_rate)
    return np.pad(z, (0, max(0, len(x) - len(z))))[: len(x)]


def at_rate(x: np.ndarray, rate: int, other: int) -> np.ndarray:
    """Return audio (T,) float32 at another sample rate."""
    if rate == other:
        return x
    return np.asarray(librosa.resample(x, orig_sr=rate, target_sr=other, res_type="soxr_hq"), dtype=np.float32)
