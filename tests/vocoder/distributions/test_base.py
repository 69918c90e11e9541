"""The normal quantile in the tails, against scipy."""

from __future__ import annotations

import torch
from scipy import special

from vocoder.distributions.base import log_odds, quantile


def test_quantiles_of_log_probabilities_far_into_both_tails() -> None:
    z = torch.tensor([-200.0, -40.0, -9.0, -7.7, -3.0, -0.1, 0.0, 0.1, 3.0, 9.0, 40.0, 200.0], dtype=torch.float64)
    found = quantile(torch.from_numpy(special.log_ndtr(z.numpy())), torch.from_numpy(special.log_ndtr(-z.numpy())))
    torch.testing.assert_close(found, z, rtol=1e-12, atol=1e-14)


def test_quantiles_in_single_precision() -> None:
    z = torch.linspace(-30, 30, 241)
    found = quantile(torch.special.log_ndtr(z), torch.special.log_ndtr(-z))
    torch.testing.assert_close(found, z, rtol=1e-5, atol=1e-6)


def test_the_derivative_is_that_of_the_inverse_function() -> None:
    z = torch.tensor([-12.0, -2.0, -0.3, 0.4, 3.0, 12.0], dtype=torch.float64)
    log_cdf = torch.special.log_ndtr(z).requires_grad_()
    log_survival = torch.special.log_ndtr(-z).requires_grad_()
    by_cdf, by_survival = torch.autograd.grad(quantile(log_cdf, log_survival).sum(), (log_cdf, log_survival))
    # d z / d log Phi(z) = Phi / N in the lower tail, and minus that of the other tail in the upper one
    lower = (torch.special.log_ndtr(z) + 0.5 * z.square() + 0.9189385332046727).exp()
    upper = (torch.special.log_ndtr(-z) + 0.5 * z.square() + 0.9189385332046727).exp()
    torch.testing.assert_close(by_cdf, torch.where(z <= 0, lower, torch.zeros_like(z)))
    torch.testing.assert_close(by_survival, torch.where(z > 0, -upper, torch.zeros_like(z)))


def test_log_odds_match_scipy_in_both_directions() -> None:
    z = torch.tensor([-30.0, -2.0, 0.0, 2.0, 30.0], dtype=torch.float64)
    expected = special.log_ndtr(z.numpy()) - special.log_ndtr(-z.numpy())
    torch.testing.assert_close(log_odds(z), torch.from_numpy(expected))
