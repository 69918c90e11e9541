"""Fundamental frequency and voicing, read from the mel."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vocoder.config import ConfigError
from vocoder.layers.conditioning import hidden_frames
from vocoder.layers.product import FrameConv

REACH = 3
"""classes to each side of the likeliest that the frequency is the mean of"""


@dataclass(frozen=True)
class PitchConfig:
    """Shape and range of the network that reads the pitch from the mel."""

    channels: int = 128
    layers: int = 4
    kernel_size: int = 5
    f0_min: float = 55.0
    """lowest fundamental frequency in Hz"""
    f0_max: float = 550.0
    """highest fundamental frequency in Hz"""
    bins: int = 120
    """number of pitch classes, equally spaced in log frequency"""
    ahead: int | None = None
    """frames after its own that the pitch of a frame depends on; as many as before it if left out"""

    def __post_init__(self) -> None:
        if not 0 < self.f0_min < self.f0_max:
            raise ConfigError(f"the pitch range must be 0 < f0_min < f0_max, not {self.f0_min} to {self.f0_max}")
        if self.bins < 2 or self.layers < 1 or self.channels < 1 or self.kernel_size % 2 != 1:
            raise ConfigError("the pitch network needs 2 bins, 1 layer, 1 channel and an odd kernel at least")
        if self.ahead is not None and not 0 <= self.ahead <= self.layers * (self.kernel_size // 2):
            raise ConfigError(f"the pitch network can look 0 to {self.layers * (self.kernel_size // 2)} frames ahead")

    @property
    def after(self) -> tuple[int, ...]:
        """Frames after its own that each layer sees; the first layers see as far as they can."""
        half = self.kernel_size // 2
        left = half * self.layers if self.ahead is None else self.ahead
        return tuple(min(half, max(left - half * i, 0)) for i in range(self.layers))


class PitchNet(nn.Module):
    """Classify the pitch of each mel frame, as CREPE does for audio (Kim et al., 2018).

    The low mel bins resolve the harmonics of speech, so that the mel determines f0 well; the network learns to read
    it from frames whose pitch is known. The frequency is the mean of the classes around the most likely one.

    A phase that integrates the frequency integrates its rounding too, and rounding depends on how many frames are
    computed at a time. A synthesizer therefore keeps this network in float64, whatever precision the mel has.
    """

    def __init__(self, n_mels: int, config: PitchConfig) -> None:
        super().__init__()
        self.config = config
        width, past = config.channels, config.kernel_size - 1
        layers: list[nn.Module] = []
        for i, after in enumerate(config.after):
            layers += [FrameConv(n_mels if i == 0 else width, width, past + 1, after, precise=True), nn.SiLU()]
        self.layers = nn.Sequential(*layers)
        self.output = FrameConv(width, config.bins + 1, 1, precise=True)
        self.spacing: float | Tensor = math.log(config.f0_max / config.f0_min) / (config.bins - 1)
        """of the classes in log frequency; a tensor where a program is traced, as exporters round numbers to float32"""

    @property
    def context(self) -> tuple[int, int]:
        """Number of frames before and after a frame that its pitch depends on."""
        after = sum(self.config.after)
        return self.config.layers * (self.config.kernel_size - 1) - after, after

    def forward(self, mel: Tensor, gaps: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map natural-log mels (B, n_mels, frames) to the logits of pitch (B, bins, frames) and voicing (B, frames)."""
        out: Tensor = self.output(hidden_frames(self.layers, mel, gaps))
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
