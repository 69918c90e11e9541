"""Mean and covariance of data that come batch by batch: all that a Gaussian needs for its maximum likelihood."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Moments"]


class Moments:
    """Sums over all time steps of all items, in float64.

    Args:
        channels: C of the signals.
    """

    def __init__(self, channels: int) -> None:
        self.channels = channels
        self.count = 0
        self._sum = torch.zeros(channels, dtype=torch.float64)
        self._products = torch.zeros(channels, channels, dtype=torch.float64)

    @torch.no_grad()
    def add(self, x: Tensor) -> None:
        """Count the steps of signals (B, C, T)."""
        rows = x.detach().transpose(1, 2).reshape(-1, self.channels).to("cpu", torch.float64)
        self.count += len(rows)
        self._sum += rows.sum(dim=0)
        self._products += rows.T @ rows

    @property
    def mean(self) -> Tensor:
        """Mean (C,) of what was added."""
        return self._sum / self._counted()

    @property
    def covariance(self) -> Tensor:
        """Covariance (C, C), the maximum-likelihood estimate (divided by n)."""
        return self._products / self._counted() - torch.outer(self.mean, self.mean)

    def _counted(self) -> int:
        if self.count == 0:
            raise ValueError("there are no moments yet: add data first")
        return self.count
