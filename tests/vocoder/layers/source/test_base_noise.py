from __future__ import annotations

import math

import pytest
import torch

from vocoder.layers.source.base_noise import BaseNoise

KINDS = ["gaussian", "logistic"]


@pytest.mark.parametrize("kind", KINDS)
def test_density_integrates_to_one_with_its_entropy_and_deviation(kind):
    noise, z = BaseNoise(kind), torch.linspace(-60, 60, 240_001, dtype=torch.float64)
    log_p = noise.log_prob(z)
    p = log_p.exp()
    assert float(torch.trapezoid(p, z)) == pytest.approx(1.0, abs=1e-9)
    assert float(torch.trapezoid(-p * log_p, z)) == pytest.approx(noise.entropy, abs=1e-9)
    assert math.sqrt(float(torch.trapezoid(p * z.square(), z))) == pytest.approx(noise.deviation, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_white_noise_becomes_this_noise(kind):
    """The map changes densities by its derivative."""
    noise, white = BaseNoise(kind), torch.linspace(-8, 8, 101, dtype=torch.float64, requires_grad=True)
    z = noise.from_white(white)
    (slope,) = torch.autograd.grad(z.sum(), white)
    normal = torch.distributions.Normal(0.0, 1.0).log_prob(white)
    torch.testing.assert_close(noise.log_prob(z) + slope.log(), normal, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_extreme_values_stay_finite(kind):
    noise = BaseNoise(kind)
    z = noise.from_white(torch.tensor([-30.0, 30.0]))
    assert torch.isfinite(z).all()
    assert torch.isfinite(noise.log_prob(z)).all()
    assert z[0] == -z[1]


def test_draws_are_independent_of_each_other():
    torch.manual_seed(0)
    draws = BaseNoise("logistic").draw_like(torch.zeros(5, 3, 4000))
    assert float(draws.std()) == pytest.approx(math.pi / math.sqrt(3), rel=0.02)
    assert abs(float((draws[0] * draws[1]).mean())) < 0.1
