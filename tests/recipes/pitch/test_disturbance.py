"""Disturbances have the level and the place in the spectrum that they are asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recipes.pitch.disturbance import DisturbanceConfig, disturbed
from vocoder.config import ConfigError

RATE = 22050
OFF = DisturbanceConfig(high_pass=0.0, noise=0.0, hum=0.0, rumble=0.0)
X = (0.1 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)).astype(np.float32)


def added(seed=0, **settings):
    """Return the spectrum of what a disturbance adds, 1 Hz a bin, and its level in dB relative to X."""
    extra = disturbed(X, RATE, replace(OFF, **settings), np.random.default_rng(seed)) - X
    power = np.abs(np.fft.rfft(extra)) ** 2
    return power / power.sum(), 10 * np.log10(np.mean(extra**2) / np.mean(X**2))


@pytest.mark.parametrize("kind", ["noise", "hum", "rumble"])
@pytest.mark.parametrize("decibels", [-30.0, -10.0])
def test_levels_are_relative_to_the_segment(kind, decibels):
    _, level = added(**{kind: 1.0, f"{kind}_db": (decibels, decibels)})
    assert abs(level - decibels) < 0.1


def test_hum_is_mains_at_a_speed():
    power, _ = added(hum=1.0, hum_db=(-20.0, -20.0), speeds=(0.8, 0.8))
    lines = np.sort(np.argsort(power)[-3:])
    assert any((np.minimum(lines % mains, mains - lines % mains) <= 1).all() for mains in (40, 48))


def test_rumble_is_low():
    power, _ = added(rumble=1.0)
    assert power[:200].sum() > 0.95


def test_the_high_pass_takes_the_lows_alone():
    low = (0.1 * np.sin(2 * np.pi * 60 * np.arange(RATE) / RATE)).astype(np.float32)
    settings = replace(OFF, high_pass=1.0, high_pass_hz=(300.0, 300.0))
    y = disturbed(X + low, RATE, settings, np.random.default_rng(0))
    power = np.abs(np.fft.rfft(y)) ** 2
    before = np.abs(np.fft.rfft(X + low)) ** 2
    assert power[60] < 0.1 * before[60]
    assert 0.8 < power[1000] / before[1000] < 1.01


@pytest.mark.parametrize("changes", [{"hum": 1.5}, {"noise_db": (0.0, -1.0)}, {"high_pass_hz": (100.0,)}])
def test_refusals(changes):
    with pytest.raises(ConfigError):
        DisturbanceConfig(**changes)
