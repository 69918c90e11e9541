"""The densities behind the mel guard: one dense affine flow for each convention, and what they were calibrated to."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vocoder.config import ConfigError
from vocoder.flows.dense_affine import LowerAffine

__all__ = ["GuardConfig", "GuardModel"]


@dataclass(frozen=True)
class GuardConfig:
    """Gaussian densities of windows of mels, one for each convention that a mel may be of.

    Raises:
        ConfigError: a value is out of range.
    """

    densities: tuple[str, ...] = ("nvidia",)
    """what each is of: a layout of `vocoder.guard.layouts`, or LAYOUT:VARIATION; the first is of true mels"""
    n_mels: int = 80
    offsets: tuple[int, ...] = (0, 1, 2)
    """frames of a window, counted from its first"""
    windows: int = 48
    """of a mel that are scored, spread evenly over it"""

    def __post_init__(self) -> None:
        if self.n_mels < 2 or self.windows < 1 or not self.densities:
            raise ConfigError(f"n_mels must be 2 or more, windows and densities at least one: {self}")
        if len(set(self.densities)) < len(self.densities):
            raise ConfigError(f"every density needs a name of its own, not {list(self.densities)}")
        if not self.offsets or self.offsets[0] != 0 or sorted(set(self.offsets)) != list(self.offsets):
            raise ConfigError(f"offsets must rise from 0, not {list(self.offsets)}")

    @property
    def span(self) -> int:
        """Frames from the first to the last of a window."""
        return self.offsets[-1] + 1

    @property
    def dimensions(self) -> int:
        """Numbers in a window."""
        return self.n_mels * len(self.offsets)


class GuardModel(nn.Module):
    """Gaussians of windows of natural-log mels, each the flow of greatest likelihood in closed form.

    What goes with them is kept beside them, for each density or for the first alone:

    * `mean`, `deviation` (K, n_mels) of the bins, which turn mels normalised by statistics back;
    * `lowest` (K,), the log-density below which a mel is not one of the density's own;
    * `margin` (K,), the log-density by which another must exceed those of true mels to be believed;
    * `percentiles` (101,) of the log-density of true mels that no density was fitted to.

    All log-densities are in nats per number of a window.
    """

    mean: Tensor
    deviation: Tensor
    lowest: Tensor
    margin: Tensor
    percentiles: Tensor

    def __init__(self, config: GuardConfig) -> None:
        super().__init__()
        self.config = config
        count = len(config.densities)
        self.densities = nn.ModuleList(LowerAffine(config.dimensions) for _ in range(count))
        self.register_buffer("mean", torch.zeros(count, config.n_mels))
        self.register_buffer("deviation", torch.ones(count, config.n_mels))
        self.register_buffer("lowest", torch.zeros(count))
        self.register_buffer("margin", torch.zeros(count))
        self.register_buffer("percentiles", torch.zeros(101))

    def log_prob(self, x: Tensor, first: bool = False) -> Tensor:
        """Return the log-density of windows x (N, D) under each density, or the first alone: (K or 1, N)."""
        chosen = self.densities[:1] if first else self.densities
        constant = 0.5 * math.log(2.0 * math.pi)
        scores = []
        for density in chosen:
            z, log_det = density(x[:, :, None])
            scores.append((log_det - 0.5 * z.square().sum(dim=(1, 2))) / x.shape[1] - constant)
        return torch.stack(scores)
