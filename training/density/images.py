"""Flows over images, which are signals whose time runs over the pixels row by row: squeezing and masked couplings."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.flows.base import Flow
from vocoder.flows.coupling import soft_clip


class Squeeze(Flow):
    """Turn 2 x 2 pixels into four channels, (B, C, H * W) to (B, 4 C, H / 2 * W / 2): a permutation, `log_det` 0."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height = height
        self.width = width

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, H * W) to (B, 4 C, H * W / 4)."""
        image = x.reshape(*x.shape[:2], self.height, self.width)
        return F.pixel_unshuffle(image, 2).flatten(2), x.new_zeros(len(x))

    def inverse(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, 4 C, H * W / 4) to (B, C, H * W)."""
        image = z.reshape(*z.shape[:2], self.height // 2, self.width // 2)
        return F.pixel_shuffle(image, 2).flatten(2), z.new_zeros(len(z))


class MaskedCoupling(Flow):
    """Keep the values marked by the mask; scale and shift the others by functions of them.

    With b the mask, z = b x + (1 - b) (exp(log_s) x + t), (t, log_s) = network(b x, cond), and `log_det` is the sum of
    log_s where b is 0. `AffineCoupling` is the special case of a mask over whole channels, with half the work.
    """

    mask: Tensor

    def __init__(self, network: nn.Module, mask: Tensor, log_s_bound: float | None = 2.0) -> None:
        super().__init__()
        self.network = network
        self.log_s_bound = log_s_bound
        self.register_buffer("mask", mask.to(torch.get_default_dtype()))

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T)."""
        t, log_s = self._shift_and_log_scale(x, cond)
        # Where the mask is 1, both are 0 and x is unchanged.
        return x * torch.exp(log_s) + t, log_s.sum(dim=(1, 2))

    def inverse(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T)."""
        t, log_s = self._shift_and_log_scale(z, cond)
        return (z - t) * torch.exp(-log_s), -log_s.sum(dim=(1, 2))

    def _shift_and_log_scale(self, x: Tensor, cond: Tensor | None) -> tuple[Tensor, Tensor]:
        t, log_s = self.network(self.mask * x, cond).to(x.dtype).chunk(2, dim=1)
        return (1 - self.mask) * t, (1 - self.mask) * soft_clip(log_s, self.log_s_bound)


def checkerboard(height: int, width: int, parity: int = 0) -> Tensor:
    """Return the mask (1, H * W) of a checkerboard's black squares, or for `parity` 1 its white ones."""
    rows, columns = torch.arange(height)[:, None], torch.arange(width)[None]
    return ((rows + columns + parity) % 2 == 0).float().reshape(1, -1)


def channel_mask(channels: int, parity: int = 0) -> Tensor:
    """Return the mask (C, 1) of the first half of the channels, or for `parity` 1 the second."""
    first = torch.arange(channels) < channels - channels // 2
    return (first if parity == 0 else ~first).float()[:, None]
