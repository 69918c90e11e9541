"""Invertible 1x1 convolution with a free matrix (Glow, section 3.2; WaveGlow, section 2.1), and its initialisation."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.flows.base import Flow, over_time
from vocoder.kernels.launcher import takes
from vocoder.layers.product import Kept, Matrix

MATRIX_STEP_SCALE = 0.1
"""step scale of matrices that would overshoot if all their elements moved by the learning rate at once"""


class InvertibleConv1x1(Flow):
    """Mix the channels of each time step by one invertible matrix: z = W x, `log_det` = T * log|det W|.

    W (C, C) starts as a random orthogonal matrix, or as the given one. The determinant comes from `slogdet`, so it may
    be negative. The inverse of a frozen W is computed once, in float64.

    W is stored divided by `step_scale`, so that an optimiser whose steps do not depend on the size of the gradient
    (Adam) moves W by that much less: steps along one direction of a large matrix add up over its C columns.
    """

    def __init__(self, channels: int, matrix: Tensor | None = None, step_scale: float = 1.0) -> None:
        super().__init__()
        if matrix is None:
            matrix = torch.linalg.qr(torch.randn(channels, channels, dtype=torch.float64))[0]
        self.step_scale = step_scale
        self.weight = nn.Parameter(matrix.to(torch.get_default_dtype()) / step_scale)
        self._kept: Kept[tuple[Tensor, Tensor, Matrix | None]] = Kept()

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T)."""
        z = F.linear(x.transpose(1, 2), self.matrix()).transpose(1, 2)
        return z, over_time(torch.linalg.slogdet(self.matrix())[1], x)

    def inverse(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T)."""
        inverse, log_abs_det, product = self.solved()
        rows = z.transpose(1, 2)
        x = F.linear(rows, inverse) if product is None or not takes(rows) else product.times(rows)
        return x.transpose(1, 2), -over_time(log_abs_det, z)

    def matrix(self) -> Tensor:
        """Return W (C, C)."""
        if self.weight.requires_grad:
            self._kept.drop()
        return self.weight * self.step_scale

    def solved(self) -> tuple[Tensor, Tensor, Matrix | None]:
        """Return the inverse, log|det W|, and the transposed inverse ready for products, None if gradients are needed.

        They are kept if the weight is frozen; call it before a program is traced.
        """
        if self.weight.requires_grad:
            return self._solve()
        with torch.inference_mode(False):  # autograd rejects inference tensors
            return self._kept.of((self.weight,), self._solve)

    def _solve(self) -> tuple[Tensor, Tensor, Matrix | None]:
        matrix, frozen = self.matrix(), not self.weight.requires_grad
        wide = (matrix.cpu() if matrix.device.type == "mps" else matrix).double()
        inverse: Tensor = torch.linalg.inv(wide).to(matrix)
        product = Matrix(inverse.t().contiguous()) if frozen else None
        return inverse, torch.linalg.slogdet(matrix)[1], product


def swap_order(channels: int, flow: int) -> Tensor:
    """Return a permutation: even channels before odd ones in even flows, the halves swapped in odd flows.

    Neighbouring bands of the lapped transform leak into each other, and neighbouring pixels are similar, so each
    channel is best predicted from its neighbours; and two consecutive flows transform every channel once.
    """
    if flow % 2 == 0:
        return torch.cat([torch.arange(0, channels, 2), torch.arange(1, channels, 2)])
    return torch.arange(channels).roll(-(channels - channels // 2))
