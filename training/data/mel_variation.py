"""Mels smoothed and disturbed as those of acoustic models are."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vocoder.config import Checked, ConfigError, Count, NotNegative, Share


@dataclass(frozen=True)
class BlurConfig(Checked):
    """How mels are smoothed along both axes at once, by triangles of random size (arXiv 2409.02517)."""

    share: Share = 0.5
    """of the items that are smoothed"""
    bands: Count = 9
    frames: Count = 9
    """largest width of the triangle along each axis, odd: 1 leaves it as it is"""
    roughness: NotNegative = 0.3
    """largest standard deviation of noise that is added to natural logarithms"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bands % 2 == 0 or self.frames % 2 == 0:
            raise ConfigError(f"bands and frames must be odd, not {self.bands} and {self.frames}")


def blurred(mel: Tensor, config: BlurConfig) -> Tensor:
    """Return natural-log mels (B, n_mels, frames), a share smoothed by triangles of random size and then disturbed."""
    if config.share == 0:
        return mel
    count, device = len(mel), mel.device
    changed = (torch.rand(count, device=device) < config.share)[:, None, None]
    smooth = _triangles(_triangles(mel, config.frames).transpose(1, 2), config.bands).transpose(1, 2)
    level = config.roughness * torch.rand(count, 1, 1, device=device) ** 2
    return torch.where(changed, smooth + level * torch.randn_like(mel), mel)


def _triangles(mel: Tensor, widest: int) -> Tensor:
    """Return (B, C, n) smoothed along its last axis, each item by a triangle of its own width from 1 to `widest`."""
    half = (widest + 1) / 2
    reach = widest // 2
    slope = 1 + (half - 1) * torch.rand(len(mel), 1, device=mel.device)
    taps = (1 - torch.arange(-reach, reach + 1, device=mel.device).abs() / slope).clamp_min(0)
    taps = taps / taps.sum(dim=1, keepdim=True)
    windows = F.pad(mel, (reach, reach), mode="replicate").unfold(2, widest, 1)
    return torch.einsum("bcnk,bk->bcn", windows, taps)
