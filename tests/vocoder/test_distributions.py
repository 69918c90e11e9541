import math

import pytest
import torch
from scipy import special

from vocoder.distributions import Gaussian, LogisticMixture, quantile

FAMILIES = {"gaussian": Gaussian(), "logistic": LogisticMixture(1), "mixture": LogisticMixture(5)}
family = pytest.mark.parametrize("distribution", FAMILIES.values(), ids=FAMILIES.keys())


def random_params(distribution, batch=2, length=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    raw = torch.randn(batch, distribution.outputs, length, generator=generator, dtype=torch.float64)
    shift = 0.1 * torch.randn(batch, length, generator=generator, dtype=torch.float64)
    return distribution.place(raw, shift, -1 + 0.5 * torch.randn(batch, length, generator=generator).double())


@family
def test_densities_integrate_to_one_and_to_the_distribution_function(distribution):
    params = random_params(distribution, 1, 1)
    # a fine grid around the centre, coarser in the tails
    grid = torch.sinh(torch.linspace(-8.5, 8.5, 20001, dtype=torch.float64)) * 1e-2
    density = distribution.log_prob(params, grid[:, None, None]).exp()[:, 0, 0]
    areas = 0.5 * (density[1:] + density[:-1]) * grid.diff()
    assert float(areas.sum()) == pytest.approx(1.0, abs=2e-4)
    below = torch.special.ndtr(distribution.forward(params, grid[:, None, None])[0])[:, 0, 0]
    assert (below[1:] - areas.cumsum(0) - below[0]).abs().max() < 2e-4
    assert bool((below.diff() >= -1e-14).all())


@family
def test_density_and_flow_agree_in_both_directions(distribution):
    params = random_params(distribution, 3, 50)
    x = (0.4 * torch.randn(3, 50).double()).requires_grad_()
    z, log_det = distribution.forward(params, x)
    expected = -0.5 * (z.square() + math.log(2 * math.pi)) + log_det
    torch.testing.assert_close(distribution.log_prob(params, x), expected, rtol=0, atol=1e-10)
    (slope,) = torch.autograd.grad(z.sum(), x)
    torch.testing.assert_close(slope.log(), log_det, rtol=0, atol=1e-8)
    for sigma in (0.5, 1.0, 4.0):
        noise = sigma * torch.randn(3, 50, dtype=torch.float64)
        made, stretch = distribution.inverse(params, noise)
        again, log_det = distribution.forward(params, made)
        torch.testing.assert_close(again, noise, rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(stretch, -log_det, rtol=1e-6, atol=1e-6)


@family
@pytest.mark.parametrize("scale", [0.1, 1.0])
def test_initial_densities_have_about_the_requested_width(distribution, scale):
    raw = distribution.start(scale).double()[None, :, None]
    params = distribution.place(raw, torch.zeros(1, 1).double(), torch.zeros(1, 1).double())
    probability = ((torch.arange(500, dtype=torch.float64) + 0.5) / 500)[:, None, None]
    x = distribution.inverse(params, torch.special.ndtri(probability))[0]
    assert float(x.mean()) == pytest.approx(0.0, abs=0.05 * scale)
    assert 0.6 * scale < float(x.std()) < 1.6 * scale


def test_quantiles_are_accurate_far_into_both_tails():
    z = torch.tensor([-200.0, -40.0, -9.0, -7.7, -3.0, -0.1, 0.0, 0.1, 3.0, 9.0, 40.0, 200.0], dtype=torch.float64)
    found = quantile(torch.from_numpy(special.log_ndtr(z.numpy())), torch.from_numpy(special.log_ndtr(-z.numpy())))
    torch.testing.assert_close(found, z, rtol=1e-12, atol=1e-14)
    single = torch.linspace(-30, 30, 241)
    found = quantile(torch.special.log_ndtr(single), torch.special.log_ndtr(-single))
    torch.testing.assert_close(found, single, rtol=1e-5, atol=1e-6)
