from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from training.losses.pitch import PitchLabels, pitch_labels

RATE, HOP, WINDOW = 22050, 256, 1024


def labels(x: Tensor) -> PitchLabels:
    return pitch_labels(x, HOP, RATE, 55.0, 550.0, WINDOW)


def phase(f0: Tensor) -> Tensor:
    return 2 * math.pi * torch.cumsum(f0.double() / RATE, dim=-1)


def sine(f0: Tensor) -> Tensor:
    return (0.3 * torch.sin(phase(f0))).float()[None]


def pulses(f0: Tensor) -> Tensor:
    """Return the harmonics of f0 below 4000 Hz in phase, as voices have them."""
    number = torch.arange(1, 73)[:, None]
    return (0.02 * torch.where(number * f0 < 4000, torch.cos(number * phase(f0)), 0.0).sum(dim=0)).float()[None]


def at_frame_centres(f0: Tensor) -> Tensor:
    return f0.unfold(0, WINDOW, HOP)[:, WINDOW // 2]


def voice(f0: Tensor) -> Tensor:
    """Return harmonics that weaken by 6 dB an octave."""
    number = torch.arange(1, 73)[:, None]
    return (0.2 * torch.where(number * f0 < 4000, torch.cos(number * phase(f0)) / number, 0.0).sum(dim=0)).float()[None]


SOUNDS = {"sine": sine, "pulses": pulses, "voice": voice}


@pytest.mark.parametrize("kind", SOUNDS)
@pytest.mark.parametrize("f0", [60.0, 87.3, 110.0, 200.0, 333.0, 500.0])
def test_steady_pitch_is_found_within_one_per_cent(kind, f0):
    found = labels(SOUNDS[kind](torch.full((RATE // 4,), f0)))
    assert found.voiced.all()
    assert not found.unvoiced.any()
    assert (found.f0 / f0 - 1).abs().max() < 0.01


@pytest.mark.parametrize("kind", ["sine", "voice"])
@pytest.mark.parametrize(("low", "high"), [(80.0, 160.0), (400.0, 200.0)])
def test_glides_of_an_octave_a_second_are_followed_within_one_per_cent(kind, low, high):
    f0 = low * (high / low) ** (torch.arange(RATE, dtype=torch.float64) / RATE)
    found = labels(SOUNDS[kind](f0))
    assert found.voiced.all()
    assert (found.f0[0] / at_frame_centres(f0) - 1).abs().max() < 0.01


def test_noise_is_unvoiced():
    found = labels(0.1 * torch.randn(4, RATE // 2, generator=torch.Generator().manual_seed(0)))
    assert found.unvoiced.all()
    assert not found.voiced.any()


@pytest.mark.parametrize("level", [0.0, 1e-4, 1e-3])
def test_silence_is_unvoiced_however_regular(level):
    found = labels(level * torch.sin(phase(torch.full((RATE // 4,), 150.0))).float()[None])
    assert found.unvoiced.all()
    assert not found.voiced.any()


def test_frames_between_have_no_label():
    generator = torch.Generator().manual_seed(0)
    x = sine(torch.full((RATE,), 150.0))
    mixed = labels(x + 0.6 * x.std() * torch.randn(x.shape, generator=generator))
    neither = ~mixed.voiced & ~mixed.unvoiced
    assert neither.float().mean() > 0.5
    assert not (mixed.voiced & mixed.unvoiced).any()


def test_each_item_and_frame_is_labelled_alone():
    half = torch.cat([torch.zeros(1, RATE // 4), sine(torch.full((RATE // 4,), 200.0))], dim=1)
    both = torch.cat([half, sine(torch.full((RATE // 4 * 2,), 100.0))])
    found = labels(both)
    frames = found.f0.shape[1]
    assert frames == 1 + (RATE // 4 * 2 - WINDOW) // HOP
    assert found.unvoiced[0, : frames // 2 - 3].all()
    assert found.voiced[0, frames // 2 + 3 :].all()
    assert found.voiced[1].all()
    assert (found.f0[1] / 100 - 1).abs().max() < 0.01


def test_labels_do_not_depend_on_loudness():
    x = pulses(torch.full((RATE // 4,), 123.0))
    torch.testing.assert_close(labels(3 * x).f0, labels(x).f0, rtol=1e-4, atol=0)
