from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from training.losses.kl import divergence, gaussian_kl
from vocoder.distributions.base import ENTROPY, log_density
from vocoder.distributions.gaussian import Gaussian
from vocoder.distributions.logistic_mixture import LogisticMixture
from vocoder.models.student import Draw

FLOOR = -30.0


def drawn(mu: Tensor, log_s: Tensor) -> Draw:
    """A draw of independent samples (B, T) with these conditionals."""
    z = torch.randn_like(mu)
    log_prob = (log_density(z) - log_s).sum(dim=1)
    return Draw(mu + torch.exp(log_s) * z, log_prob, (log_s + ENTROPY).sum(dim=1), mu, log_s)


def parameters(batch: int = 4, length: int = 50) -> tuple[Tensor, ...]:
    torch.manual_seed(0)
    return tuple(torch.randn(batch, length, dtype=torch.float64) for _ in range(4))


def test_closed_form_is_that_of_two_normals():
    mu_q, log_s_q, mu_p, log_s_p = parameters()
    expected = kl_divergence(Normal(mu_q, log_s_q.exp()), Normal(mu_p, log_s_p.exp()))
    torch.testing.assert_close(gaussian_kl(mu_q, log_s_q, mu_p, log_s_p), expected)
    params = torch.stack([mu_p, log_s_p], dim=1)
    found = divergence(drawn(mu_q, log_s_q), params, Gaussian(), "closed", log_s_floor=FLOOR)
    torch.testing.assert_close(found.kl, expected.mean(dim=1))
    torch.testing.assert_close(found.kl, found.cross_entropy - found.entropy)
    torch.testing.assert_close(found.regulariser, (log_s_q - log_s_p).square().mean(dim=1))


def test_draws_and_samples_converge_to_the_closed_form():
    torch.manual_seed(0)
    mu_q, log_s_q, mu_p, log_s_p = (
        torch.full((2, 4000), value, dtype=torch.float64) for value in (0.3, -0.5, 0.0, 0.1)
    )
    draw, params = drawn(mu_q, log_s_q), torch.stack([mu_p, log_s_p], dim=1)
    closed = divergence(draw, params, Gaussian(), "closed", log_s_floor=FLOOR).kl
    many = divergence(draw, params, Gaussian(), "draws", draws=64).kl
    few = divergence(draw, params, Gaussian(), "draws", draws=1).kl
    once = divergence(draw, params, Gaussian(), "sample").kl
    torch.testing.assert_close(many, closed, rtol=0, atol=0.005)
    torch.testing.assert_close(few, closed, rtol=0, atol=0.04)
    torch.testing.assert_close(once, closed, rtol=0, atol=0.04)


def test_a_normal_against_a_mixture_by_quadrature():
    """One conditional, so that the integral of q log(q / p) can be taken on a grid."""
    torch.manual_seed(0)
    mixture = LogisticMixture(2)
    mu, log_s = torch.full((1, 3000), 0.2, dtype=torch.float64), torch.full((1, 3000), -1.0, dtype=torch.float64)
    one = torch.tensor([0.3, -0.4, -0.5, 0.6, -1.5, -0.2], dtype=torch.float64)
    estimate = divergence(drawn(mu, log_s), one[None, :, None].expand(1, -1, 3000), mixture, "draws", draws=32)
    grid = torch.linspace(-30, 30, 200_001, dtype=torch.float64)
    log_q = log_density((grid - 0.2) * math.e) + 1.0
    log_p = mixture.log_prob(one[None, :, None].expand(1, -1, len(grid)), grid[None])[0]
    expected = float(torch.trapezoid(log_q.exp() * (log_q - log_p), grid))
    assert float(estimate.kl) == pytest.approx(expected, abs=0.01)
    assert float(estimate.entropy) == pytest.approx(float(torch.trapezoid(-log_q.exp() * log_q, grid)), abs=1e-6)


@pytest.mark.parametrize("estimator", ["draws", "sample"])
def test_gradients_pass_through_the_draws(estimator):
    """The gradient of the estimate is, on average, that of the closed form: mu, and log_s by the same path."""
    torch.manual_seed(0)
    mu = torch.full((1, 20_000), 0.4, dtype=torch.float64, requires_grad=True)
    log_s = torch.full((1, 20_000), -0.3, dtype=torch.float64, requires_grad=True)
    params = torch.zeros(1, 2, 20_000, dtype=torch.float64)
    kl = divergence(drawn(mu, log_s), params, Gaussian(), estimator, draws=4).kl
    by_mu, by_log_s = torch.autograd.grad(kl.sum(), [mu, log_s])
    assert float(by_mu.sum()) == pytest.approx(0.4, abs=0.02)
    assert float(by_log_s.sum()) == pytest.approx(math.exp(-0.6) - 1, abs=0.03)


def test_refusals():
    mu, log_s, mu_p, log_s_p = parameters()
    draw, params = drawn(mu, log_s), torch.stack([mu_p, log_s_p], dim=1)
    frames = Draw(draw.x, draw.log_prob, draw.entropy, None, None)
    with pytest.raises(ValueError, match="conditionals"):
        divergence(frames, params, Gaussian(), "closed")
    with pytest.raises(ValueError, match="Gaussian"):
        divergence(draw, torch.zeros(4, 6, 50), LogisticMixture(2), "closed")
