"""Channel mixing between flows: permutations, and a learned matrix factored as P L U."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.flows.base import Flow, over_time


class Permutation(Flow):
    """Channel i of the noise is channel `order[i]` of the data; `log_det` is 0."""

    order: Tensor

    def __init__(self, order: Tensor) -> None:
        super().__init__()
        self.register_buffer("order", order.clone())

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T)."""
        return x.index_select(1, self.order), x.new_zeros(x.shape[0])

    def inverse(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T)."""
        return z.index_select(1, self.order.argsort()), z.new_zeros(z.shape[0])


def reversal(channels: int) -> Permutation:
    """Return the reversal of channels, for autoregressive flows (MAF, section 3) and couplings (NICE)."""
    return Permutation(torch.arange(channels - 1, -1, -1))


class PLUConv1x1(Flow):
    """Mix the channels by W = P L (U + diag(sign * exp(log_s))), `log_det` = T * sum(log_s).

    P and `sign` are fixed, L has a unit diagonal and U a zero one, so that W is invertible for any parameters. W starts
    as a random orthogonal matrix.
    """

    permutation: Tensor
    sign: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        orthogonal = torch.linalg.qr(torch.randn(channels, channels, dtype=torch.float64))[0]
        permutation, lower, upper = torch.linalg.lu(orthogonal)
        dtype = torch.get_default_dtype()
        diagonal = upper.diagonal()
        self.register_buffer("permutation", permutation.to(dtype))
        self.register_buffer("sign", diagonal.sign().to(dtype))
        self.log_s = nn.Parameter(diagonal.abs().log().to(dtype))
        self.lower = nn.Parameter(lower.tril(-1).to(dtype))
        self.upper = nn.Parameter(upper.triu(1).to(dtype))

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T)."""
        lower, upper = self._factors()
        z = F.linear(x.transpose(1, 2), self.permutation @ lower @ upper).transpose(1, 2)
        return z, over_time(self.log_s.sum(), x)

    def inverse(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T) by two triangular solves."""
        lower, upper = self._factors()
        x = torch.linalg.solve_triangular(lower, self.permutation.T @ z, upper=False, unitriangular=True)
        return torch.linalg.solve_triangular(upper, x, upper=True), -over_time(self.log_s.sum(), z)

    def _factors(self) -> tuple[Tensor, Tensor]:
        lower = self.lower.tril(-1) + torch.eye(len(self.sign), dtype=self.lower.dtype, device=self.lower.device)
        upper = self.upper.triu(1) + torch.diag(self.sign * torch.exp(self.log_s))
        return lower, upper
