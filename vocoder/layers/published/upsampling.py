"""The two ways in which published WaveNets bring a mel to the rate of the samples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.config import ConfigError

__all__ = ["PublishedUpsampler", "UpsamplingConfig", "renamed"]


@dataclass(frozen=True)
class UpsamplingConfig:
    """How a mel becomes a condition at the rate of the samples."""

    kind: Literal["stretched", "transposed"] = "transposed"
    """repeat and smooth, after a convolution over frames (r9y9), or transposed convolutions (ClariNet)"""
    scales: tuple[int, ...] = (16, 16)
    """factor of each stage; their product is hop_length"""
    context: int = 0
    """stretched: frames on each side that the convolution over frames sees"""
    bands: int = 3
    """mel bins that the kernel of a stage sees, odd"""
    slope: float = 0.4
    """transposed: of the leaky ReLU after each stage"""

    def __post_init__(self) -> None:
        if not self.scales or min(self.scales) < 1 or self.context < 0 or self.bands % 2 != 1:
            raise ConfigError("upsampling needs positive scales, a context of 0 or more and an odd number of bands")
        if self.kind == "transposed" and any(scale % 2 for scale in self.scales):
            raise ConfigError(f"scales of transposed convolutions must be even, not {self.scales}")


class PublishedUpsampler(nn.Module):
    """Bring mels (B, n_mels, frames) to the rate of the samples: (B, n_mels, frames * prod(scales)).

    Each stage is one small kernel that is moved over time and mel bins alike.

    Args:
        n_mels: mel bins.
        config: kind and factors.
    """

    def __init__(self, n_mels: int, config: UpsamplingConfig) -> None:
        super().__init__()
        self.config = config
        bands = config.bands
        self.conv_in: nn.Conv1d | None = None
        if config.kind == "stretched":
            self.conv_in = nn.Conv1d(n_mels, n_mels, 2 * config.context + 1, bias=False)
            self.stages = nn.ModuleList(
                nn.Conv2d(1, 1, (bands, 2 * scale + 1), padding=(bands // 2, scale), bias=False)
                for scale in config.scales
            )
        else:
            self.stages = nn.ModuleList(
                nn.ConvTranspose2d(1, 1, (bands, 2 * scale), (1, scale), (bands // 2, scale // 2))
                for scale in config.scales
            )

    @property
    def context(self) -> int:
        """Number of frames on each side that a sample of the condition depends on, its own frame aside."""
        reach, rate = 0.0, 1
        for scale in self.config.scales:
            reach += 1 / rate  # a stage sees one step of its input to each side
            rate *= scale
        return self.config.context + math.ceil(reach)

    def forward(self, mel: Tensor) -> Tensor:
        """Map (B, n_mels, frames) to (B, n_mels, samples); if stretched, the mel is held beyond its ends."""
        config = self.config
        given, mel = mel.dtype, mel.to(next(self.parameters()).dtype)
        if self.conv_in is not None:
            mel = self.conv_in(F.pad(mel, (config.context, config.context), mode="replicate"))
        image = mel.unsqueeze(1)
        for stage, scale in zip(self.stages, config.scales, strict=True):
            if config.kind == "stretched":
                image = stage(image.repeat_interleave(scale, dim=3))
            else:
                image = F.leaky_relu(stage(image), config.slope)
        return image.squeeze(1).to(given)


def renamed(_: nn.Module, tensors: dict[str, Any], prefix: str, *__: Any) -> None:
    """Let a model read what earlier versions wrote, where its `condition` was called `upsampling`."""
    for name in [name for name in tensors if name.startswith(f"{prefix}upsampling.")]:
        tensors[name.replace("upsampling.", "condition.", 1)] = tensors.pop(name)
