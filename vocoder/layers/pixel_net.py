"""A residual convolution network over images, the network of couplings on patches."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["PixelNet"]


class PixelNet(nn.Module):
    """Map images (B, inputs, H * W) to (B, outputs, H * W); the last layer is zero.

    A learned bias for each row lets the network know where it is: on patches of mels rows are frequencies.

    Args:
        inputs: channels.
        outputs: channels.
        size: (H, W).
        channels: of the hidden layers.
        blocks: residual blocks, each of a 3 x 3 and a 1 x 1 convolution.
    """

    def __init__(self, inputs: int, outputs: int, size: tuple[int, int], channels: int, blocks: int = 2) -> None:
        super().__init__()
        self.size = size
        self.start = nn.Conv2d(inputs, channels, 3, padding=1)
        self.place = nn.Parameter(0.1 * nn.init.normal_(self.start.weight.new_empty(channels, size[0], 1)))
        self.wide = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(blocks))
        self.narrow = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(blocks))
        self.end = nn.Conv2d(channels, outputs, 3, padding=1)
        nn.init.zeros_(self.end.weight)
        nn.init.zeros_(self.end.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, cond: Tensor | None = None) -> Tensor:
        """Return (B, outputs, H * W)."""
        h = self.start(x.reshape(*x.shape[:2], *self.size)) + self.place
        for wide, narrow in zip(self.wide, self.narrow, strict=True):
            h = h + narrow(F.elu(wide(F.elu(h))))
        out: Tensor = self.end(F.elu(h))
        return out.flatten(2)
