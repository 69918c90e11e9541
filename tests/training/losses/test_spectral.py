from __future__ import annotations

import math

import pytest
import torch

from training.losses.spectral import MultiResolutionSTFT, MultiScaleMel, PowerLoss, spectrum

LENGTH = 8192
SILENCE = torch.zeros(1, LENGTH)


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("n_fft", [256, 2048])
def test_white_noise_of_variance_1_has_power_1(n_fft):
    x = noise(0, 4, 65536)
    power = spectrum(x, n_fft, torch.hann_window(n_fft)).abs().square()
    assert power.shape == (4, n_fft // 2 + 1, 1 + 65536 // (n_fft // 4))
    assert abs(float(power[:, 1:-1].mean()) - 1) < 0.05
    torch.testing.assert_close(PowerLoss(n_fft).power(x), power.mean(dim=2))


def test_a_gain_costs_its_convergence_and_its_logarithm_and_phase_costs_nothing():
    x, loss = noise(0, 2, LENGTH), MultiResolutionSTFT()
    for gain in (1.0, -1.0):
        assert float(loss(gain * x, x)) < 1e-5
    for gain in (0.5, 2.0, 3.0):
        assert float(loss(gain * x, x)) == pytest.approx(abs(gain - 1) + abs(math.log(gain)), rel=1e-3)


def test_noise_in_silence_costs_what_it_is_in_floors():
    loss = MultiResolutionSTFT()
    assert float(loss(SILENCE, SILENCE)) == 0.0
    assert float(loss(1e-6 * noise(0, 1, LENGTH), SILENCE)) < 1e-3
    assert float(loss(1e-2 * noise(0, 1, LENGTH), SILENCE)) == pytest.approx(100 + math.log(100), rel=0.1)


def test_mels_at_all_scales_are_as_far_apart_as_a_gain():
    loss, x = MultiScaleMel(22050), noise(0, 2, LENGTH)
    assert float(loss(x, x)) == 0.0
    assert float(loss(2 * x, x)) == pytest.approx(math.log(2), abs=1e-3)
    assert float(loss(1e-7 * x, torch.zeros_like(x))) < 2e-3  # of what is below the floor little counts


@pytest.mark.parametrize("loss", [MultiResolutionSTFT(), MultiScaleMel(22050), PowerLoss()], ids=repr)
def test_gradients_are_finite_in_silence(loss):
    x_hat = torch.zeros(1, LENGTH, requires_grad=True)
    loss(x_hat, noise(0, 1, LENGTH)).backward()
    assert x_hat.grad is not None
    assert torch.isfinite(x_hat.grad).all()


def test_power_goes_with_the_square_of_the_amplitude_relative_to_the_recording():
    x, y, loss = noise(0, 2, LENGTH), noise(1, 2, LENGTH), PowerLoss()
    for x_hat, distance in ((x, 0.0), (2 * x, 9.0), (0 * x, 1.0)):
        assert float(loss(x_hat, x)) == pytest.approx(distance, rel=1e-4)
    assert float(loss(0.01 * y, 0.01 * x)) == pytest.approx(float(loss(y, x)), rel=1e-3)
    assert math.isfinite(float(loss(1e-5 * y, SILENCE)))


def test_power_ignores_where_in_time_the_energy_is_but_not_its_frequency():
    time = torch.arange(16384) / 16384
    window = (time < 0.4).float() * torch.sin(math.pi * time / 0.4).square()
    tone = 0.3 * torch.sin(2 * math.pi * 2048 * time) * window
    late, other = tone.roll(8192), 0.3 * torch.sin(2 * math.pi * 3072 * time) * window
    assert float(PowerLoss()(late[None], tone[None])) < 1e-3
    assert float(PowerLoss()(other[None], tone[None])) == pytest.approx(2.0, rel=0.01)
