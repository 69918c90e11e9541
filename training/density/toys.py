"""Distributions of points in the plane with a known density, which shows how much a model misses."""

import math

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, Normal, Uniform


def _mixture(parts: Distribution) -> MixtureSameFamily:
    """Return the mixture of distributions (N, 2) in the plane with equal weights."""
    weights = Categorical(torch.ones(parts.batch_shape[0], dtype=torch.float64))
    return MixtureSameFamily(weights, Independent(parts, 1), validate_args=False)


def _circle(angle: Tensor) -> Tensor:
    return torch.stack([angle.cos(), angle.sin()], dim=1)


_ARC = _circle(torch.linspace(0, math.pi, 60, dtype=torch.float64))
_MOONS = torch.cat([_ARC, torch.tensor([1.0, 0.5]) - _ARC]) - torch.tensor([0.5, 0.25])
_DARK = torch.tensor([(x, y) for x in range(-2, 2) for y in range(-2, 2) if (x + y) % 2 == 0]).double()
TOYS = {
    "eight": _mixture(Normal(2.5 * _circle(torch.arange(8).double() * math.pi / 4), 0.25)),
    "moons": _mixture(Normal(2.0 * _MOONS, 0.15)),
    "checkerboard": _mixture(Uniform(_DARK, _DARK + 1.0, validate_args=False)),  # 4 x 4 fields, half of them filled
}
