"""The densities behind the mel guard: one dense affine flow for each convention, and what they were calibrated to."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vocoder.flows.lower_affine import LowerAffine
from vocoder.models.guard_config import GuardConfig

__all__ = ["GuardModel"]


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
