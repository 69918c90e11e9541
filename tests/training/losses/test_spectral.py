from __future__ import annotations

import math

import pytest
import torch

from training.losses.spectral import MultiResolutionSTFT, MultiScaleMel, spectrum

LENGTH = 8192


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("n_fft", [256, 2048])
def test_white_noise_of_variance_1_has_power_1(n_fft):
    power = spectrum(noise(0, 4, 65536), n_fft, torch.hann_window(n_fft)).abs().square()
    assert power.shape == (4, n_fft // 2 + 1, 1 + 65536 // (n_fft // 4))
    assert abs(float(power[:, 1:-1].mean()) - 1) < 0.05


def test_a_waveform_is_no_distance_from_itself():
    x = noise(0, 2, LENGTH)
    assert float(MultiResolutionSTFT()(x, x)) < 1e-5


def test_phase_is_ignored():
    x = noise(0, 2, LENGTH)
    assert float(MultiResolutionSTFT()(-x, x)) < 1e-5


@pytest.mark.parametrize("gain", [0.5, 2.0, 3.0])
def test_a_gain_costs_its_convergence_and_its_logarithm(gain):
    x = noise(0, 2, LENGTH)
    distance = float(MultiResolutionSTFT()(gain * x, x))
    assert distance == pytest.approx(abs(gain - 1) + abs(math.log(gain)), rel=1e-3)


def test_the_distance_is_the_mean_over_resolutions():
    x, x_hat = noise(0, 2, LENGTH), noise(1, 2, LENGTH)
    alone = [float(MultiResolutionSTFT((size,))(x_hat, x)) for size in (256, 1024)]
    assert float(MultiResolutionSTFT((256, 1024))(x_hat, x)) == pytest.approx(sum(alone) / 2, rel=1e-5)


def test_what_is_below_the_floor_does_not_count():
    silence = torch.zeros(1, LENGTH)
    assert float(MultiResolutionSTFT()(silence, silence)) == 0.0
    assert float(MultiResolutionSTFT()(1e-6 * noise(0, 1, LENGTH), silence)) < 1e-3


def test_noise_in_silence_costs_what_it_is_in_floors():
    distance = float(MultiResolutionSTFT()(1e-2 * noise(0, 1, LENGTH), torch.zeros(1, LENGTH)))
    assert distance == pytest.approx(100 + math.log(100), rel=0.1)


def test_gradients_are_finite_in_silence():
    x_hat = torch.zeros(1, LENGTH, requires_grad=True)
    MultiResolutionSTFT()(x_hat, noise(0, 1, LENGTH)).backward()
    assert x_hat.grad is not None
    assert torch.isfinite(x_hat.grad).all()


def test_mels_at_all_scales_are_as_far_apart_as_a_gain():
    loss, x = MultiScaleMel(22050), torch.randn(2, 8192)
    assert float(loss(x, x)) == 0.0
    assert float(loss(2 * x, x)) == pytest.approx(math.log(2), abs=1e-3)
    assert float(loss(1e-7 * x, torch.zeros_like(x))) < 2e-3  # of what is below the floor little counts


def test_gradients_of_mels_are_finite_in_silence():
    x = torch.zeros(1, 4096, requires_grad=True)
    MultiScaleMel(22050)(x, torch.randn(1, 4096)).backward()
    assert x.grad is not None
    assert bool(x.grad.isfinite().all())
