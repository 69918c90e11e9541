"""Distributions of points of the plane whose density is known, so that what a model misses is known too."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp
from torch import Tensor

__all__ = ["Points", "Toy", "toys"]

Array = NDArray[np.float64]


class Toy(ABC):
    """A distribution of points (n, 2) with its log-density in nats."""

    @abstractmethod
    def sample(self, count: int, rng: np.random.Generator) -> Array:
        """Draw points (count, 2)."""

    @abstractmethod
    def log_prob(self, x: Array) -> Array:
        """Return the log-density (n,) of points (n, 2)."""

    def entropy(self, count: int = 100_000, seed: int = 0) -> float:
        """Return the entropy in nats, a mean over that many draws."""
        return float(-self.log_prob(self.sample(count, np.random.default_rng(seed))).mean())


class Mixture(Toy):
    """Gaussians of equal weight and of one standard deviation around given centres."""

    def __init__(self, centres: Array, deviation: float) -> None:
        self.centres = centres
        self.deviation = deviation

    def sample(self, count: int, rng: np.random.Generator) -> Array:
        """Draw points."""
        chosen = self.centres[rng.integers(len(self.centres), size=count)]
        return chosen + self.deviation * rng.standard_normal((count, 2))

    def log_prob(self, x: Array) -> Array:
        """Return the log-density."""
        squares = ((x[:, None] - self.centres[None]) ** 2).sum(axis=2) / self.deviation**2
        constant = math.log(2 * math.pi * self.deviation**2 * len(self.centres))
        return logsumexp(-0.5 * squares, axis=1) - constant  # type: ignore[no-any-return]


class Checkerboard(Toy):
    """The dark squares of a board of 4 x 4 fields with sides of 1, evenly filled; elsewhere there is nothing."""

    def sample(self, count: int, rng: np.random.Generator) -> Array:
        """Draw points."""
        column, row = rng.integers(4, size=count), rng.integers(2, size=count)
        corner = np.stack([column - 2.0, 2.0 * row + column % 2 - 2.0], axis=1)
        return corner + rng.random((count, 2))

    def log_prob(self, x: Array) -> Array:
        """Return the log-density: minus infinity on white squares."""
        field = np.floor(x).astype(int)
        inside = ((field >= -2) & (field < 2)).all(axis=1) & (field.sum(axis=1) % 2 == 0)
        return np.where(inside, -math.log(8.0), -np.inf)


class Rings(Toy):
    """Rings around the origin, equally likely, with a normal distribution of the radius."""

    def __init__(self, radii: tuple[float, ...] = (1.0, 2.0, 3.0), deviation: float = 0.1) -> None:
        self.radii = np.array(radii)
        self.deviation = deviation

    def sample(self, count: int, rng: np.random.Generator) -> Array:
        """Draw points."""
        radius = self.radii[rng.integers(len(self.radii), size=count)] + self.deviation * rng.standard_normal(count)
        angle = rng.random(count) * 2 * math.pi
        return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)

    def log_prob(self, x: Array) -> Array:
        """Return the log-density: that of the radius over the length of the circle."""
        radius = np.hypot(x[:, 0], x[:, 1])
        squares = ((radius[:, None] - self.radii) / self.deviation) ** 2
        constant = math.log(len(self.radii)) + 0.5 * math.log(2 * math.pi) + math.log(self.deviation)
        return logsumexp(-0.5 * squares, axis=1) - constant - np.log(2 * math.pi * radius)  # type: ignore[no-any-return]


class Pinwheel(Toy):
    """Five elongated Gaussians on the rays of a star, each point then turned by an angle in proportion to its radius.

    The turn keeps area, so that the density is that of the star at the point turned back.
    """

    def __init__(self, arms: int = 5, rate: float = 0.9) -> None:
        self.angles = np.arange(arms) * 2 * math.pi / arms
        self.rate = rate
        self.deviations = np.array([0.45, 0.12])
        self.distance = 1.8

    def sample(self, count: int, rng: np.random.Generator) -> Array:
        """Draw points."""
        arm = rng.standard_normal((count, 2)) * self.deviations + np.array([self.distance, 0.0])
        star = _turned(arm, self.angles[rng.integers(len(self.angles), size=count)])
        return _turned(star, self.rate * np.hypot(star[:, 0], star[:, 1]))

    def log_prob(self, x: Array) -> Array:
        """Return the log-density."""
        star = _turned(x, -self.rate * np.hypot(x[:, 0], x[:, 1]))
        arms = np.stack([_turned(star, -np.full(len(x), angle)) for angle in self.angles], axis=1)
        units = (arms - np.array([self.distance, 0.0])) / self.deviations
        constant = math.log(2 * math.pi * float(self.deviations.prod()) * len(self.angles))
        return logsumexp(-0.5 * (units**2).sum(axis=2), axis=1) - constant  # type: ignore[no-any-return]


def toys() -> Mapping[str, Toy]:
    """Return all toys by name."""
    circle = np.arange(8) * math.pi / 4
    arc = np.linspace(0, math.pi, 60)
    moons = np.concatenate(
        [
            np.stack([np.cos(arc), np.sin(arc)], axis=1),
            np.stack([1 - np.cos(arc), 0.5 - np.sin(arc)], axis=1),
        ]
    )
    return {
        "eight": Mixture(2.5 * np.stack([np.cos(circle), np.sin(circle)], axis=1), 0.25),
        "moons": Mixture(2.0 * (moons - np.array([0.5, 0.25])), 0.15),
        "rings": Rings(),
        "checkerboard": Checkerboard(),
        "pinwheel": Pinwheel(),
    }


def _turned(x: Array, angle: Array) -> Array:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([cos * x[:, 0] - sin * x[:, 1], sin * x[:, 0] + cos * x[:, 1]], axis=1)


class Points:
    """Fresh points (2, 1) of a toy in every epoch, a function of (seed, epoch, index) alone.

    Args:
        toy: what to draw from.
        count: points in an epoch.
        seed: of the draws; another one draws others.
    """

    levels = 0

    def __init__(self, toy: Toy, count: int, seed: int) -> None:
        self.toy = toy
        self.count = count
        self.seed = seed
        self.set_epoch(0)

    def __len__(self) -> int:
        return self.count

    def set_epoch(self, epoch: int) -> None:
        """Draw the points of an epoch."""
        rng = np.random.default_rng((self.seed, epoch))
        self.points = torch.from_numpy(self.toy.sample(self.count, rng)).float()[:, :, None]

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"x": self.points[index]}
