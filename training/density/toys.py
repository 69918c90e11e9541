"""Distributions of points of the plane whose density is known, so that what a model misses is known too."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Toy:
    """How to draw points (n, 2), and their log-density (n,) in nats."""

    sample: Callable[[int, np.random.Generator], Array]
    log_prob: Callable[[Array], Array]


def _mixture(centres: Array, deviation: float) -> Toy:
    """Gaussians of equal weight and of one standard deviation around given centres."""

    def sample(count: int, rng: np.random.Generator) -> Array:
        return centres[rng.integers(len(centres), size=count)] + deviation * rng.standard_normal((count, 2))

    def log_prob(x: Array) -> Array:
        squares = ((x[:, None] - centres[None]) ** 2).sum(axis=2) / deviation**2
        constant = math.log(2 * math.pi * deviation**2 * len(centres))
        return logsumexp(-0.5 * squares, axis=1) - constant  # type: ignore[no-any-return]

    return Toy(sample, log_prob)


def _checkerboard() -> Toy:
    """The dark squares of a board of 4 x 4 fields with sides of 1, evenly filled; elsewhere there is nothing."""

    def sample(count: int, rng: np.random.Generator) -> Array:
        column, row = rng.integers(4, size=count), rng.integers(2, size=count)
        return np.stack([column - 2.0, 2.0 * row + column % 2 - 2.0], axis=1) + rng.random((count, 2))

    def log_prob(x: Array) -> Array:
        field = np.floor(x).astype(int)
        inside = ((field >= -2) & (field < 2)).all(axis=1) & (field.sum(axis=1) % 2 == 0)
        return np.where(inside, -math.log(8.0), -np.inf)

    return Toy(sample, log_prob)


def _circle(angle: Array) -> Array:
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


_ARC = _circle(np.linspace(0, math.pi, 60))
TOYS = {
    "eight": _mixture(2.5 * _circle(np.arange(8) * math.pi / 4), 0.25),
    "moons": _mixture(2.0 * (np.concatenate([_ARC, np.array([1.0, 0.5]) - _ARC]) - np.array([0.5, 0.25])), 0.15),
    "checkerboard": _checkerboard(),
}
