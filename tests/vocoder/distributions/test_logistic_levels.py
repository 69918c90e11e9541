"""The probability of 16-bit levels under a logistic mixture, against arithmetic with 60 digits."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import pytest
import torch

from vocoder.distributions.logistic_mixture import LogisticMixture

LEVELS = 65536


def reference(mu: float, log_s: float, level: int, levels: int = LEVELS) -> float:
    """The logarithm of the mass of one level, by differences with 60 digits more than they cancel."""
    with localcontext() as context:
        context.prec = 1500
        scale = Decimal(log_s).exp()
        step = Decimal(2) / levels
        centre = Decimal(2 * level) / levels - Decimal(mu)
        upper, lower = (centre + step / 2) / scale, (centre - step / 2) / scale
        above = Decimal(1) if level == levels // 2 - 1 else 1 / (1 + (-upper).exp())
        below = Decimal(0) if level == -levels // 2 else 1 / (1 + (-lower).exp())
        return float((above - below).ln())


CASES = [
    (0.0, -3.0, 0),
    (0.0, -3.0, 20000),
    (0.25, -11.0, 8192),
    (0.25, -11.0, 8193),  # a level beside a density narrower than a level
    (0.0, -9.0, 900),  # 223 scales from the centre: the difference of two sigmoids is zero in float64
    (0.3, -1.0, -32768),
    (-1.0, -6.0, -32768),
    (0.9, -4.0, 32767),
    (-0.5, -5.0, 32767),  # the last level far in the tail
    (0.5, -5.0, -32768),
    (0.0, 6.0, 100),  # a density so wide that the level is a sliver
]


@pytest.mark.parametrize(("mu", "log_s", "level"), CASES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 3e-5)])
def test_a_level_has_the_exact_probability(
    mu: float, log_s: float, level: int, dtype: torch.dtype, tolerance: float
) -> None:
    params = torch.tensor([0.0, mu, log_s], dtype=dtype)[None, :, None]
    x = torch.tensor([[2 * level / LEVELS]], dtype=dtype)
    found = float(LogisticMixture(1).log_prob_of_level(params, x))
    # in float32 the parameters themselves are rounded: the reference sees what the function sees
    expected = reference(float(params[0, 1, 0]), float(params[0, 2, 0]), level)
    # far out the logarithm is the distance in scales, and as exact as that
    assert found == pytest.approx(expected, rel=tolerance, abs=tolerance * 10)


@pytest.mark.parametrize("log_s", [-13.0, -8.0, -3.0, 1.0])
def test_the_levels_share_the_whole_mass(log_s: float) -> None:
    mixture = LogisticMixture(3)
    raw = torch.randn(1, 9, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    params = mixture.place(raw, torch.zeros(1, 1).double(), torch.full((1, 1), log_s).double())
    x = torch.arange(-LEVELS // 2, LEVELS // 2, dtype=torch.float64)[None] * 2 / LEVELS
    log_p = mixture.log_prob_of_level(params, x)
    assert float(log_p.exp().sum()) == pytest.approx(1.0, abs=1e-9)


def test_where_a_level_is_narrow_its_mass_is_density_times_width() -> None:
    mixture = LogisticMixture(2)
    params = torch.tensor([0.3, -0.1, 0.0, 0.2, -2.0, -1.5], dtype=torch.float64)[None, :, None].expand(1, -1, 9)
    x = (torch.arange(-4, 5, dtype=torch.float64) * 4000 * 2 / LEVELS)[None]
    expected = mixture.log_prob(params, x) + math.log(2 / LEVELS)
    torch.testing.assert_close(mixture.log_prob_of_level(params, x), expected, rtol=0, atol=1e-7)


def test_gradients_are_finite_everywhere() -> None:
    mixture = LogisticMixture(2)
    params = torch.tensor([0.0, 0.0, -1.0, 1.0, -16.0, -16.0])[None, :, None].expand(1, -1, 5).requires_grad_()
    x = torch.tensor([[-1.0, -0.99, 0.0, 0.5, 1 - 2 / LEVELS]])
    (gradient,) = torch.autograd.grad(mixture.log_prob_of_level(params, x).sum(), params)
    assert bool(torch.isfinite(gradient).all())
    assert float(gradient.abs().max()) > 0


def test_a_mixture_without_components_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one component, not 0"):
        LogisticMixture(0)
