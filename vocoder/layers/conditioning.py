"""The networks that turn a mel into the condition of a gated stack."""

import math
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.config import ConfigError
from vocoder.layers.product import FrameConv
from vocoder.packing import silenced

MEL_CENTRE, MEL_SPREAD = -5.0, 2.5
"""about what natural-log mels of speech have"""


class MelEncoder(nn.Module):
    """Three convolutions over mel frames: (B, n_mels, frames) to (B, channels, frames)."""

    context = 3
    """frames on each side that a frame of the condition depends on"""

    def __init__(self, n_mels: int, channels: int) -> None:
        super().__init__()
        widths = (n_mels, channels, channels, channels)
        layers = ((FrameConv(*pair, 3), nn.SiLU()) for pair in pairwise(widths))
        self.layers = nn.Sequential(*(layer for pair in layers for layer in pair))

    def forward(self, mel: Tensor, gaps: Tensor | None = None) -> Tensor:
        """Map natural-log mels (B, n_mels, frames) to the condition (B, channels, frames), which is 0 in the gaps."""
        return hidden_frames(self.layers, mel, gaps)


def hidden_frames(layers: nn.Sequential, mel: Tensor, gaps: Tensor | None) -> Tensor:
    """Return what convolutions and their activations make of natural-log mels (B, n_mels, frames): 0 in the gaps."""
    hidden = silenced(normalised(mel.to(next(layers.parameters()).dtype)), gaps)
    for layer in layers:
        hidden = silenced(layer(hidden), gaps) if isinstance(layer, nn.SiLU) else layer(hidden)
    return hidden


def normalised(mel: Tensor) -> Tensor:
    """Bring natural-log mels of speech near zero, where networks train faster."""
    return (mel - MEL_CENTRE) / MEL_SPREAD


class MelUpsampler(nn.Module):
    """Upsample the mel to samples and group it like the audio: (B, n_mels, frames) to (B, n_mels * group, steps).

    A transposed convolution of `kernel` samples and stride hop_length (section 3.1 of WaveGlow, and its code), cut at
    the end to frames * hop_length samples. Channel `mel * group + j` belongs to sample `group * step + j`.
    """

    def __init__(self, n_mels: int, hop_length: int, kernel: int, group_size: int) -> None:
        super().__init__()
        self.hop_length = hop_length
        self.group_size = group_size
        self.upsample = nn.ConvTranspose1d(n_mels, n_mels, kernel, stride=hop_length)

    def forward(self, mel: Tensor, gaps: Tensor | None = None) -> Tensor:
        """Map (B, n_mels, frames) to (B, n_mels * group_size, frames * hop_length / group_size)."""
        mel = silenced(mel, gaps)
        batch, n_mels, frames = mel.shape
        upsampled = self._upsampled(mel)[:, :, : frames * self.hop_length]
        steps = upsampled.reshape(batch, n_mels, -1, self.group_size).permute(0, 2, 1, 3).flatten(2)
        return steps.transpose(1, 2)  # in memory (B, steps, channels), as the couplings need it

    def _upsampled(self, mel: Tensor) -> Tensor:
        """Return what `self.upsample` does to (B, n_mels, frames), as one product and an overlap-add.

        PyTorch's own transposed convolution is a scalar loop on CPUs.
        """
        weight, bias = self.upsample.weight, self.upsample.bias
        assert bias is not None
        kernel = weight.shape[2]
        pieces = weight.flatten(1).T @ mel  # (B, n_mels * kernel, frames)
        length = (mel.shape[2] - 1) * self.hop_length + kernel
        added = F.fold(pieces, (1, length), (1, kernel), stride=(1, self.hop_length))
        return added.squeeze(2) + bias[:, None]


@dataclass(frozen=True)
class UpsamplingConfig:
    """How a mel becomes a condition at the rate of the samples."""

    scales: tuple[int, ...] = (16, 16)
    """factor of each stage; their product is hop_length"""
    context: int = 0
    """frames on each side that the convolution over frames sees"""
    bands: int = 3
    """mel bins that the kernel of a stage sees, odd"""

    def __post_init__(self) -> None:
        if not self.scales or min(self.scales) < 1 or self.context < 0 or self.bands % 2 != 1:
            raise ConfigError("upsampling needs positive scales, a context of 0 or more and an odd number of bands")


class PublishedUpsampler(nn.Module):
    """Bring mels (B, n_mels, frames) to the rate of the samples: (B, n_mels, frames * prod(scales)).

    After a convolution over frames each stage repeats and smooths, by one small kernel that is moved over time and mel
    bins alike.
    """

    def __init__(self, n_mels: int, config: UpsamplingConfig) -> None:
        super().__init__()
        self.config = config
        bands = config.bands
        self.conv_in = nn.Conv1d(n_mels, n_mels, 2 * config.context + 1, bias=False)
        self.stages = nn.ModuleList(
            nn.Conv2d(1, 1, (bands, 2 * scale + 1), padding=(bands // 2, scale), bias=False) for scale in config.scales
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
        """Map (B, n_mels, frames) to (B, n_mels, samples); the mel is held beyond its ends."""
        context = self.config.context
        held = F.pad(mel.to(self.conv_in.weight.dtype), (context, context), mode="replicate")
        image = self.conv_in(held).unsqueeze(1)
        for stage, scale in zip(self.stages, self.config.scales, strict=True):
            image = stage(image.repeat_interleave(scale, dim=3))
        return image.squeeze(1).to(mel.dtype)  # type: ignore[no-any-return]
