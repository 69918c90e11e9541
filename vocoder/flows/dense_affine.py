"""The triangular affine flow: a Gaussian with any covariance."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.flows.base import Flow, over_time


class LowerAffine(Flow):
    """Map each time step by z = L (x - t), `log_det` = -T * sum(log_scale).

    L is lower-triangular with the diagonal exp(-log_scale). With normal noise this is every Gaussian there is: L^-1 is
    the Cholesky factor of its covariance, `t` its mean. Read row by row it is also a linear autoregressive flow:
    channel i minus its best linear prediction from the channels before it, over the standard deviation of what is left.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.lower = nn.Parameter(torch.zeros(channels, channels))
        self.log_scale = nn.Parameter(torch.zeros(channels))
        self.t = nn.Parameter(torch.zeros(channels, 1))

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T)."""
        z = F.linear((x - self.t).transpose(1, 2), self.matrix()).transpose(1, 2)
        return z, -over_time(self.log_scale.sum(), x)

    def inverse(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T) by one triangular solve."""
        x = torch.linalg.solve_triangular(self.matrix(), z, upper=False) + self.t
        return x, over_time(self.log_scale.sum(), z)

    def matrix(self) -> Tensor:
        """Return L (C, C)."""
        return self.lower.tril(-1) + torch.diag(torch.exp(-self.log_scale))
