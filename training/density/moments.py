"""The mean and covariance of data, and the Gaussian of greatest likelihood that they give."""

from __future__ import annotations

import torch
from torch import Tensor

from vocoder.flows.dense_affine import LowerAffine

__all__ = ["Moments", "fit_gaussian"]


@torch.no_grad()
def fit_gaussian(flow: LowerAffine, moments: Moments) -> None:
    """Set mean and matrix of a flow to those of greatest likelihood, in closed form.

    Raises:
        ValueError: the covariance is singular.
    """
    factor = _cholesky(moments.covariance)
    matrix = torch.linalg.solve_triangular(factor, torch.eye(len(factor), dtype=factor.dtype), upper=False)
    flow.lower.copy_(matrix.tril(-1))
    flow.log_scale.copy_(factor.diagonal().log())
    flow.t.copy_(moments.mean[:, None])


def _cholesky(covariance: Tensor) -> Tensor:
    """Return the lower Cholesky factor of a covariance (C, C).

    Raises:
        ValueError: it is singular, so that no Gaussian has a greatest likelihood.
    """
    factor: Tensor
    factor, failed = torch.linalg.cholesky_ex(covariance)
    scale = covariance.diagonal().clamp_min(0).sqrt()
    if int(failed) or bool((factor.diagonal() <= 1e-7 * scale).any()):
        raise ValueError(
            "the covariance of the data is singular: a channel is constant, a mixture of others, or there are fewer "
            "data than channels; add noise or data"
        )
    return factor


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
