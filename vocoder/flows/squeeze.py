"""Trading resolution for channels (RealNVP, section 3.6)."""

from __future__ import annotations

from torch import Tensor

from vocoder.flows.base import Flow

__all__ = ["Squeeze"]


class Squeeze(Flow):
    """Turn every 2 x 2 pixels into four channels: (B, C, H * W) to (B, 4 C, H / 2 * W / 2).

    Images are signals whose time runs over the pixels row by row. A permutation, so `log_det` is 0.

    Args:
        height: H of the images.
        width: W.

    Raises:
        ValueError: the sides are not even, or an image has another number of pixels.
    """

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        if height % 2 or width % 2:
            raise ValueError(f"only images with even sides can be squeezed, not {height} x {width}")
        self.height = height
        self.width = width

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, H * W) to (B, 4 C, H * W / 4)."""
        self._check(x, self.height * self.width)
        batch, channels, _ = x.shape
        blocks = x.reshape(batch, channels, self.height // 2, 2, self.width // 2, 2)
        return blocks.permute(0, 1, 3, 5, 2, 4).reshape(batch, 4 * channels, -1), x.new_zeros(batch)

    def inverse(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, 4 C, H * W / 4) to (B, C, H * W)."""
        self._check(z, self.height * self.width // 4)
        batch, channels = z.shape[0], z.shape[1] // 4
        blocks = z.reshape(batch, channels, 2, 2, self.height // 2, self.width // 2)
        return blocks.permute(0, 1, 4, 2, 5, 3).reshape(batch, channels, -1), z.new_zeros(batch)

    def _check(self, x: Tensor, pixels: int) -> None:
        if x.shape[2] != pixels:
            raise ValueError(f"a squeeze of {self.height} x {self.width} images got {x.shape[2]} pixels, not {pixels}")
