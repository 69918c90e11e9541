"""Invertible 1x1 convolution with a free matrix (Glow, section 3.2; WaveGlow, section 2.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.flows.base import Flow

__all__ = ["InvertibleConv1x1"]


class InvertibleConv1x1(Flow):
    """Mix the channels of each time step by one invertible matrix: z = W x, `log_det` = T * log|det W|.

    W starts as a random orthogonal matrix, or as the one given. The determinant comes from `slogdet`, so that a
    negative one is no error. The inverse matrix is computed once in float64 and kept until W changes.

    Args:
        channels: C, the size of the matrix.
        matrix: (C, C) the first value of W.
        step_scale: W is stored divided by this, so that an optimiser whose steps do not depend on the size of the
            gradient (Adam) moves W by that much less: a step along one direction of a large matrix adds up over its
            C columns.

    Raises:
        ValueError: `matrix` is not (C, C).
    """

    def __init__(self, channels: int, matrix: Tensor | None = None, step_scale: float = 1.0) -> None:
        super().__init__()
        if matrix is None:
            matrix = torch.linalg.qr(torch.randn(channels, channels, dtype=torch.float64))[0]
        if matrix.shape != (channels, channels):
            raise ValueError(f"the mixing matrix must be ({channels}, {channels}), not {tuple(matrix.shape)}")
        self.step_scale = step_scale
        self.weight = nn.Parameter(matrix.to(torch.get_default_dtype()) / step_scale)
        self._inverse: tuple[int, torch.dtype, torch.device, Tensor] | None = None

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T)."""
        z = F.linear(x.transpose(1, 2), self.matrix()).transpose(1, 2)
        return z, self._log_det(x)

    def inverse(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T)."""
        x = F.linear(z.transpose(1, 2), self.inverse_matrix()).transpose(1, 2)
        return x, -self._log_det(z)

    def matrix(self) -> Tensor:
        """Return W (C, C)."""
        return self.weight * self.step_scale

    def inverse_matrix(self) -> Tensor:
        """Return W^-1, differentiable in training and cached otherwise."""
        if torch.is_grad_enabled() and self.weight.requires_grad:
            return _inverted(self.matrix())
        key = (self.weight._version, self.weight.dtype, self.weight.device)
        if self._inverse is None or self._inverse[:3] != key:
            self._inverse = (*key, _inverted(self.matrix().detach()))
        return self._inverse[3]

    def _log_det(self, x: Tensor) -> Tensor:
        return (torch.linalg.slogdet(self.matrix())[1] * x.shape[2]).expand(x.shape[0])


def _inverted(matrix: Tensor) -> Tensor:
    inverse: Tensor = torch.linalg.inv(matrix.double()).to(matrix.dtype)
    return inverse
