"""Every distribution is a density, a distribution function and a flow, and the three agree."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch import Tensor

from vocoder.distributions.base import Distribution, soft_floor
from vocoder.distributions.gaussian import Gaussian
from vocoder.distributions.logistic_mixture import LogisticMixture
from vocoder.distributions.mulaw import MuLaw

FAMILIES: dict[str, Distribution] = {
    "gaussian": Gaussian(),
    "logistic": LogisticMixture(1),
    "mixture": LogisticMixture(5),
    "mulaw": MuLaw(32),
    "mulaw with reach": MuLaw(16, reach=8.0),
}
family = pytest.mark.parametrize("distribution", FAMILIES.values(), ids=FAMILIES.keys())


def random_params(distribution: Distribution, batch: int = 2, length: int = 7, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    raw = torch.randn(batch, distribution.outputs, length, generator=generator, dtype=torch.float64)
    shift = 0.1 * torch.randn(batch, length, generator=generator, dtype=torch.float64)
    return distribution.place(raw, shift, -1 + 0.5 * torch.randn(batch, length, generator=generator).double())


def quantiles(distribution: Distribution, params: Tensor, probability: Tensor) -> Tensor:
    """Return x with P(X <= x) = probability."""
    return distribution.inverse(params, torch.special.ndtri(probability))[0]


def cdf(distribution: Distribution, params: Tensor, x: Tensor) -> Tensor:
    """Return P(X <= x)."""
    return torch.special.ndtr(distribution.forward(params, x)[0])


@family
def test_densities_integrate_to_one_and_to_the_distribution_function(distribution: Distribution) -> None:
    params = random_params(distribution, 1, 1)
    # a fine grid around the bulk, widening into the tails; the densities of mu-law jump at their edges
    grid = torch.sinh(torch.linspace(-8.5, 8.5, 400001, dtype=torch.float64)) * 1e-2
    density = distribution.log_prob(params, grid[:, None, None]).exp()[:, 0, 0]
    areas = 0.5 * (density[1:] + density[:-1]) * grid.diff()
    assert float(areas.sum()) == pytest.approx(1.0, abs=2e-4)
    below = cdf(distribution, params, grid[:, None, None])[:, 0, 0]
    assert (below[1:] - areas.cumsum(0) - below[0]).abs().max() < 2e-4
    assert bool((below.diff() >= -1e-14).all())


@family
def test_the_flow_and_the_distribution_give_the_same_density(distribution: Distribution) -> None:
    params = random_params(distribution)
    x = torch.randn(2, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    z, log_det = distribution.forward(params, x)
    expected = -0.5 * (z.square() + math.log(2 * math.pi)) + log_det
    torch.testing.assert_close(distribution.log_prob(params, x), expected, rtol=0, atol=1e-10)


@family
def test_the_log_determinant_is_the_derivative(distribution: Distribution) -> None:
    params = random_params(distribution)
    x = (0.4 * torch.randn(2, 7, generator=torch.Generator().manual_seed(2)).double()).requires_grad_()
    z, log_det = distribution.forward(params, x)
    (slope,) = torch.autograd.grad(z.sum(), x)
    torch.testing.assert_close(slope.log(), log_det, rtol=0, atol=1e-8)


@family
@pytest.mark.parametrize("sigma", [0.5, 1.0, 4.0])
def test_noise_to_data_and_back(distribution: Distribution, sigma: float) -> None:
    params = random_params(distribution, 3, 50)
    z = sigma * torch.randn(3, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    x, stretch = distribution.inverse(params, z)
    again, log_det = distribution.forward(params, x)
    torch.testing.assert_close(again, z, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(stretch, -log_det, rtol=1e-6, atol=1e-6)


@family
def test_the_quantile_function_inverts_the_distribution_function(distribution: Distribution) -> None:
    params = random_params(distribution)
    probability = torch.linspace(0.001, 0.999, 7, dtype=torch.float64).expand(2, 7)
    x = quantiles(distribution, params, probability)
    torch.testing.assert_close(cdf(distribution, params, x), probability, rtol=0, atol=1e-10)


@family
def test_samples_follow_the_distribution_function(distribution: Distribution) -> None:
    params = random_params(distribution, 1, 1).expand(1, -1, 4000)
    z = torch.randn(1, 4000, generator=torch.Generator().manual_seed(4), dtype=params.dtype)
    uniform = cdf(distribution, params, distribution.inverse(params, z)[0])[0]
    assert stats.kstest(uniform.numpy(), "uniform").pvalue > 1e-3


@family
def test_several_draws_are_scored_with_one_set_of_parameters(distribution: Distribution) -> None:
    params = random_params(distribution)
    x = torch.randn(4, 2, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    together = distribution.log_prob(params, x)
    assert together.shape == (4, 2, 7)
    for draw in range(4):
        torch.testing.assert_close(together[draw], distribution.log_prob(params, x[draw]))


@family
def test_place_moves_and_scales(distribution: Distribution) -> None:
    raw = torch.randn(1, distribution.outputs, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    shift, log_scale = torch.full((1, 5), 0.3, dtype=torch.float64), torch.full((1, 5), -2.0, dtype=torch.float64)
    plain = distribution.place(raw, torch.zeros_like(shift), torch.zeros_like(shift))
    moved = distribution.place(raw, shift, log_scale)
    u = torch.linspace(-1, 1, 5, dtype=torch.float64)[None]
    scored = distribution.log_prob(moved, shift + torch.exp(log_scale) * u)
    torch.testing.assert_close(scored, distribution.log_prob(plain, u) - log_scale)


@family
@pytest.mark.parametrize("scale", [0.1, 1.0])
def test_training_starts_from_a_density_of_about_the_wanted_width(distribution: Distribution, scale: float) -> None:
    if isinstance(distribution, MuLaw) and scale > 0.2 * distribution.reach:
        scale = 0.2 * distribution.reach  # wider ones do not fit into full scale
    raw = distribution.start(scale).double()[None, :, None]
    params = distribution.place(raw, torch.zeros(1, 1).double(), torch.zeros(1, 1).double())
    probability = ((torch.arange(5000, dtype=torch.float64) + 0.5) / 5000)[:, None, None]
    x = quantiles(distribution, params, probability)
    assert float(x.mean()) == pytest.approx(0.0, abs=0.05 * scale)
    assert 0.6 * scale < float(x.std()) < 1.6 * scale


def test_the_soft_floor_holds_and_is_the_identity_far_above() -> None:
    log_s = torch.tensor([-100.0, -9.0, 5.0], dtype=torch.float64)
    floored = soft_floor(log_s, -9.0)
    assert bool((floored >= -9.0).all())
    assert float(floored[2]) == pytest.approx(5.0, abs=1e-5)
    assert soft_floor(log_s, None) is log_s


def test_a_mixture_without_components_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one component, not 0"):
        LogisticMixture(0)
