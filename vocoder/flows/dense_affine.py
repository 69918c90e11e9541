"""The triangular affine flow, and the moments of data that it is fitted to."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.flows.base import Flow, read_log_s

__all__ = ["LowerAffine", "Moments", "cholesky"]


class LowerAffine(Flow):
    """Map each time step by z = L (x - t), `log_det` = -T * sum(log_scale).

    L is lower-triangular with the diagonal exp(-log_scale). With normal noise this is every Gaussian there is: L^-1 is
    the Cholesky factor of its covariance, `t` its mean. Read row by row it is also a linear autoregressive flow:
    channel i minus its best linear prediction from the channels before it, over the standard deviation of what is left.

    Args:
        channels: C of the signal.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.lower = nn.Parameter(torch.zeros(channels, channels))
        self.register_load_state_dict_pre_hook(read_log_s)  # type: ignore[no-untyped-call]
        self.log_scale = nn.Parameter(torch.zeros(channels))
        self.t = nn.Parameter(torch.zeros(channels, 1))

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T)."""
        z = F.linear((x - self.t).transpose(1, 2), self.matrix()).transpose(1, 2)
        return z, -self._sum(x)

    def inverse(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T) by one triangular solve."""
        x = torch.linalg.solve_triangular(self.matrix(), z, upper=False) + self.t
        return x, self._sum(z)

    def matrix(self) -> Tensor:
        """Return L (C, C)."""
        return self.lower.tril(-1) + torch.diag(torch.exp(-self.log_scale))

    @torch.no_grad()
    def fit(self, moments: Moments) -> None:
        """Set mean and matrix to those of greatest likelihood, in closed form.

        Raises:
            ValueError: the covariance is singular.
        """
        factor = cholesky(moments.covariance)
        identity = torch.eye(len(factor), dtype=factor.dtype)
        matrix = torch.linalg.solve_triangular(factor, identity, upper=False)
        self.lower.copy_(matrix.tril(-1))
        self.log_scale.copy_(factor.diagonal().log())
        self.t.copy_(moments.mean[:, None])

    def _sum(self, x: Tensor) -> Tensor:
        return (self.log_scale.sum() * x.shape[2]).expand(x.shape[0])


def cholesky(covariance: Tensor) -> Tensor:
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
