"""Dense affine flow with a matrix P L U: a Gaussian whose axes need no order."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vocoder.flows.base import Flow
from vocoder.flows.lower_affine import cholesky
from vocoder.flows.moments import Moments
from vocoder.flows.plu import PLUConv1x1

__all__ = ["PLUAffine"]


class PLUAffine(Flow):
    """Map each time step by z = W (x - t) with W = P L U; `log_det` = T * log|det W|.

    Every invertible matrix has such a factorisation, and with it a determinant that costs C additions and an inverse of
    two triangular solves. Its maximum likelihood is that of `LowerAffine`: W W' may be turned by any rotation.

    Args:
        channels: C of the signal.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mixing = PLUConv1x1(channels)
        self.t = nn.Parameter(torch.zeros(channels, 1))

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T)."""
        return self.mixing(x - self.t)  # type: ignore[no-any-return]

    def inverse(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T)."""
        x, log_det = self.mixing.inverse(z)
        return x + self.t, log_det

    @torch.no_grad()
    def fit(self, moments: Moments) -> None:
        """Set mean and matrix to those of greatest likelihood whose matrix is symmetric (whitening that turns nothing).

        Raises:
            ValueError: the covariance is singular.
        """
        cholesky(moments.covariance)  # refuses a singular one
        variances, axes = torch.linalg.eigh(moments.covariance)
        whitening = axes @ torch.diag(variances.rsqrt()) @ axes.T
        permutation, lower, upper = torch.linalg.lu(whitening)
        diagonal = upper.diagonal()
        self.mixing.permutation.copy_(permutation)
        self.mixing.sign.copy_(diagonal.sign())
        self.mixing.log_s.copy_(diagonal.abs().log())
        self.mixing.lower.copy_(lower.tril(-1))
        self.mixing.upper.copy_(upper.triu(1))
        self.t.copy_(moments.mean[:, None])
