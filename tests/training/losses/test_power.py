from __future__ import annotations

import math

import pytest
import torch

from training.losses.spectral import PowerLoss


def test_equal_audio_has_no_distance_and_twice_as_loud_has_nine():
    """Power goes with the square of the amplitude: (4 - 1)^2 = 9."""
    torch.manual_seed(0)
    x = 0.1 * torch.randn(2, 8192)
    loss = PowerLoss()
    assert float(loss(x, x)) == 0.0
    assert float(loss(2 * x, x)) == pytest.approx(9.0, rel=1e-4)
    assert float(loss(torch.zeros_like(x), x)) == pytest.approx(1.0, rel=1e-4)


def test_white_noise_of_variance_one_has_power_one():
    torch.manual_seed(0)
    power = PowerLoss(256).power(torch.randn(8, 65536))
    assert power.shape == (8, 129)
    assert float(power[:, 1:-1].mean()) == pytest.approx(1.0, abs=0.02)


def test_where_in_time_the_energy_is_does_not_matter_but_its_frequency_does():
    time = torch.arange(16384) / 16384
    window = (time < 0.4).float() * torch.sin(math.pi * time / 0.4).square()
    tone = 0.3 * torch.sin(2 * math.pi * 2048 * time) * window
    late, other = tone.roll(8192), 0.3 * torch.sin(2 * math.pi * 3072 * time) * window
    loss = PowerLoss()
    assert float(loss(late[None], tone[None])) < 1e-3
    assert float(loss(other[None], tone[None])) == pytest.approx(2.0, rel=0.01)


def test_loudness_of_an_utterance_does_not_weigh_it_and_silence_is_finite():
    torch.manual_seed(0)
    x, y = torch.randn(1, 4096), torch.randn(1, 4096)
    loss = PowerLoss()
    assert float(loss(0.01 * y, 0.01 * x)) == pytest.approx(float(loss(y, x)), rel=1e-3)
    silence = torch.zeros(1, 4096)
    assert float(loss(silence, silence)) == 0.0
    assert math.isfinite(float(loss(1e-5 * y, silence)))
