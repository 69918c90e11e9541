"""Networks that read a mel: for the condition of other networks, and for pitch and voicing."""

import math
from dataclasses import dataclass
from itertools import accumulate
from operator import mul
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.config import Checked, Count, NotNegativeInt, Rules
from vocoder.layers.product import FrameConv
from vocoder.stages import silenced

MEL_CENTRE, MEL_SPREAD = -5.0, 2.5  # approximate mean and deviation of natural-log mels of speech
REACH = 3  # classes on each side of the likeliest that are averaged to the frequency


class MelEncoder(nn.Module):
    """Convolutions over mel frames in full precision, each before a SiLU; the first look ahead as far as they can."""

    def __init__(self, n_mels: int, channels: int, ahead: int = 3, layers: int = 3, kernel_size: int = 3) -> None:
        super().__init__()
        self.context = layers * (kernel_size - 1) - ahead, ahead  # of a frame of the output: frames before and after it
        self.layers, half = nn.Sequential(), kernel_size // 2
        for i, inputs in enumerate((n_mels, *(channels,) * (layers - 1))):
            after = min(half, max(ahead - half * i, 0))
            self.layers.extend([FrameConv(inputs, channels, kernel_size, after, precise=True), nn.SiLU()])

    def forward(self, mel: Tensor, gaps: Tensor | None = None) -> Tensor:
        """Map natural-log mels (B, n_mels, frames) to (B, channels, frames), which is 0 in the gaps."""
        hidden = silenced(normalised(mel.to(next(self.layers.parameters()).dtype)), gaps)
        for layer in self.layers:
            hidden = silenced(layer(hidden), gaps) if isinstance(layer, nn.SiLU) else layer(hidden)
        return hidden


def normalised(mel: Tensor) -> Tensor:
    """Normalise natural-log mels of speech to about mean 0 and deviation 1."""
    return (mel - MEL_CENTRE) / MEL_SPREAD


@dataclass(frozen=True)
class PitchConfig(Checked):
    """Shape and range of the network that reads the pitch from the mel."""

    channels: Count = 128
    layers: Count = 4
    kernel_size: int = 5
    f0_min: float = 55.0  # lowest fundamental frequency in Hz
    f0_max: float = 550.0  # highest fundamental frequency in Hz
    bins: int = 120  # number of pitch classes, equally spaced in log frequency
    ahead: int | None = None  # look-ahead in frames; by default as many as before the frame

    def _rules(self) -> Rules:
        ordered, most = 0 < self.f0_min < self.f0_max, self.layers * (self.kernel_size // 2)
        yield ordered, f"the pitch range must be 0 < f0_min < f0_max, not {self.f0_min} to {self.f0_max}"
        yield self.bins > 1 and self.kernel_size % 2 == 1, "the pitch network needs 2 bins and an odd kernel_size"
        within = self.ahead is None or 0 <= self.ahead <= most
        yield within, f"ahead of the pitch network must be from 0 to {most}, not {self.ahead}"


class PitchNet(MelEncoder):
    """Classifies the pitch of each mel frame, as CREPE does for audio (Kim et al., 2018).

    The low mel bands resolve the harmonics of speech, so the mel determines f0 well; the network learns it from frames
    with known pitch. The frequency is the mean of the classes around the likeliest one. A `Runner` keeps this network
    in float64, whatever the precision of the mel.
    """

    def __init__(self, n_mels: int, config: PitchConfig) -> None:
        ahead = config.layers * (config.kernel_size - 1) // 2 if config.ahead is None else config.ahead
        super().__init__(n_mels, config.channels, ahead, config.layers, config.kernel_size)
        self.config = config
        self.output = FrameConv(config.channels, config.bins + 1, 1, precise=True)
        self.spacing: float | Tensor = math.log(config.f0_max / config.f0_min) / (config.bins - 1)
        """distance of classes in log frequency; a tensor when traced, since exporters round numbers to float32"""

    def forward(self, mel: Tensor, gaps: Tensor | None = None) -> Any:
        """Map natural-log mels (B, n_mels, frames) to the logits of pitch (B, bins, frames) and voicing (B, frames)."""
        out = self.output(super().forward(mel, gaps))
        return out[:, :-1], out[:, -1]

    @torch.no_grad()
    def pitch(self, mel: Tensor, gaps: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return f0 in Hz and the probability of voicing, both (B, frames), in the dtype of the weights."""
        logits, voicing = self(mel, gaps)
        rows = logits.transpose(1, 2)
        index = rows.argmax(dim=2, keepdim=True) + torch.arange(-REACH, REACH + 1, device=mel.device)
        inside = index.clamp(0, self.config.bins - 1)
        weights = torch.softmax(rows.gather(2, inside).masked_fill(inside != index, -torch.inf), dim=2)
        position = (weights * index).sum(dim=2)
        return self.config.f0_min * torch.exp(position * self.spacing), torch.sigmoid(voicing)

    def position(self, f0: Tensor) -> Tensor:
        """Return the fractional class of frequencies in Hz."""
        return torch.log(f0 / self.config.f0_min) / self.spacing


class MelUpsampler(nn.Module):
    """Upsample the mel to samples and group it like the audio: (B, n_mels, frames) to (B, n_mels * group, steps).

    A transposed convolution of `kernel` samples and stride hop_length (section 3.1 of WaveGlow, and its code), cut at
    the end to frames * hop_length samples. Channel `mel * group + j` belongs to sample `group * step + j`.
    """

    def __init__(self, n_mels: int, hop_length: int, kernel: int, group_size: int) -> None:
        super().__init__()
        self.hop_length, self.group_size = hop_length, group_size
        self.upsample = nn.ConvTranspose1d(n_mels, n_mels, kernel, stride=hop_length)
        self.context = (kernel - 1) // hop_length, 0  # context of a frame of the condition: frames before and after it

    def forward(self, mel: Tensor, gaps: Tensor | None = None) -> Tensor:
        """Map (B, n_mels, frames) to (B, n_mels * group_size, frames * hop_length / group_size)."""
        weight, bias, hop_length = self.upsample.weight, self.upsample.bias, self.hop_length
        assert bias is not None
        (batch, n_mels, frames), kernel = mel.shape, weight.shape[2]
        # A product and an overlap-add, since PyTorch's transposed convolution is a scalar loop on CPUs.
        pieces = weight.flatten(1).T @ silenced(mel, gaps)  # (B, n_mels * kernel, frames)
        length = (frames - 1) * hop_length + kernel
        upsampled = F.fold(pieces, (1, length), (1, kernel), stride=(1, hop_length)).squeeze(2) + bias[:, None]
        upsampled = upsampled[:, :, : frames * hop_length]
        steps = upsampled.reshape(batch, n_mels, -1, self.group_size).permute(0, 2, 1, 3).flatten(2)
        return steps.transpose(1, 2)  # in memory (B, steps, channels), as the couplings need it


@dataclass(frozen=True)
class UpsamplingConfig(Checked):
    """How to upsample a mel to a condition at the sample rate."""

    scales: tuple[int, ...] = (16, 16)  # factor of each stage; their product is hop_length
    context: NotNegativeInt = 0  # frames on each side in the kernel of the convolution over frames
    bands: int = 3  # mel bands in the kernel of a stage, odd

    def _rules(self) -> Rules:
        positive = min(self.scales, default=0) > 0
        yield positive and self.bands % 2 == 1, "upsampling needs positive scales and an odd number of bands"


class PublishedUpsampler(nn.Module):
    """Upsamples mels (B, n_mels, frames) to the sample rate: (B, n_mels, frames * prod(scales)).

    After a convolution over frames each stage repeats values and smooths them with a small kernel over time and bands.
    """

    def __init__(self, n_mels: int, config: UpsamplingConfig) -> None:
        super().__init__()
        self.config, bands = config, config.bands
        # Each stage's kernel covers one step of its input on each side.
        reach = sum(1 / rate for rate in accumulate(config.scales[:-1], mul, initial=1))
        self.context = (config.context + math.ceil(reach),) * 2  # of a sample of the condition, in frames
        self.conv_in = nn.Conv1d(n_mels, n_mels, 2 * config.context + 1, bias=False)
        self.stages = nn.ModuleList(
            nn.Conv2d(1, 1, (bands, 2 * scale + 1), padding=(bands // 2, scale), bias=False) for scale in config.scales
        )

    def forward(self, mel: Tensor) -> Tensor:
        """Map (B, n_mels, frames) to (B, n_mels, samples); the mel's first and last frames are repeated beyond it."""
        context = self.config.context
        held = F.pad(mel.to(self.conv_in.weight.dtype), (context, context), mode="replicate")
        image = self.conv_in(held).unsqueeze(1)
        for stage, scale in zip(self.stages, self.config.scales, strict=True):
            image = stage(image.repeat_interleave(scale, dim=3))
        return image.squeeze(1).to(mel.dtype)  # type: ignore[no-any-return]
