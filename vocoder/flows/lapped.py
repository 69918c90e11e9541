"""Turn samples into channels: the modified discrete cosine transform as an orthonormal flow, and plain grouping."""

import math

import torch
from torch import Tensor, nn

from vocoder.flows.base import Flow
from vocoder.kernels.launcher import takes
from vocoder.layers.product import Kept, Matrix


class LappedTransform(Flow):
    """MDCT with a sine window over 2 * hop samples: (B, 1, T) to (B, hop, T / hop), orthonormal, `log_det` 0.

    Time-domain aliasing is a plane rotation of the samples mirrored around each block boundary, followed by a DCT-IV of
    each block (Malvar, "Signal Processing with Lapped Transforms", 1992). Both are orthogonal, and the first and last
    half block of a clip, which have no neighbour, are not rotated, so the map is a bijection of exactly T values,
    including the ends of the clip. Raises a ValueError if T is not a multiple of `hop`, or if `hop` is odd.
    """

    def __init__(self, hop: int) -> None:
        super().__init__()
        if hop < 2 or hop % 2:
            raise ValueError(f"the hop of the lapped transform must be even and positive, not {hop}")
        self.hop = hop
        self._kept: Kept[Matrix] = Kept()
        # The sine window is cos(angle) after a block boundary and sin(angle) at the mirrored place before it.
        angle = math.pi / (2 * hop) * (hop / 2 - torch.arange(hop // 2, dtype=torch.float64) - 0.5)
        cosine, sine = torch.cat([angle.flip(0), angle]).cos(), torch.cat([-angle.flip(0), angle]).sin()
        position = torch.arange(hop, dtype=torch.float64) + 0.5
        basis = math.sqrt(2 / hop) * torch.cos(math.pi / hop * position[:, None] * position[None, :])
        tables = (value.to(torch.get_default_dtype()) for value in (cosine, sine, basis))
        self.cosine, self.sine, self.basis = (nn.Buffer(table, persistent=False) for table in tables)

    def forward(self, x: Tensor, cond: Tensor | None = None, edges: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map audio (B, 1, T) to (B, hop, T / hop); nothing rotates at `edges`, the first blocks of clips in a row."""
        batch, _, length = x.shape
        if length % self.hop:
            raise ValueError(f"the length must be a multiple of the hop {self.hop}, not {length}")
        blocks = self._rotate(x.reshape(batch, length // self.hop, self.hop), 1.0, edges)
        return self._cosines(blocks).transpose(1, 2), x.new_zeros(batch)

    def inverse(self, z: Tensor, cond: Tensor | None = None, edges: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map coefficients (B, hop, T / hop) to audio (B, 1, T); `edges` as in `forward`."""
        blocks = self._rotate(self._cosines(z.transpose(1, 2)), -1.0, edges)  # the DCT-IV is its own inverse
        return blocks.reshape(z.shape[0], 1, -1), z.new_zeros(z.shape[0])

    def _cosines(self, blocks: Tensor) -> Tensor:
        if not takes(blocks):
            return blocks @ self.basis
        return self._kept.of((self.basis,), lambda: Matrix(self.basis)).times(blocks)

    def _rotate(self, blocks: Tensor, sign: float, edges: Tensor | None) -> Tensor:
        x, half = blocks.flatten(1), self.hop // 2
        around = x[:, half:-half].reshape(x.shape[0], blocks.shape[1] - 1, self.hop)  # the boundaries
        rotated = torch.addcmul(self.cosine * around, sign * self.sine, around.flip(2))
        if edges is not None:
            rotated = rotated.index_copy(1, edges - 1, around[:, edges - 1])
        return torch.cat([x[:, :half], rotated.flatten(1), x[:, -half:]], dim=1).reshape(blocks.shape)


class Grouping(Flow):
    """Turn every `size` neighbouring samples into `size` channels: (B, C, T) to (B, C * size, T / size).

    Sample `size * i + j` of channel `c` becomes channel `c * size + j` at step `i`. A permutation, so `log_det` is 0.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor, cond: Tensor | None = None, edges: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C * size, T / size); `edges` are accepted as in `LappedTransform`, and ignored."""
        rows = x.reshape(*x.shape[:2], -1, self.size).transpose(1, 2).flatten(2)  # (B, steps, channels)
        return rows.transpose(1, 2), x.new_zeros(x.shape[0])

    def inverse(self, z: Tensor, cond: Tensor | None = None, edges: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C * size, T / size) to (B, C, T)."""
        return z.reshape(z.shape[0], -1, self.size, z.shape[2]).transpose(2, 3).flatten(2), z.new_zeros(z.shape[0])
