"""Mels as networks draw them: a few numbers tell two frames, and a decoder that learnt by L1 draws them from those.

An acoustic model that learnt from little speech smooths what it cannot know and keeps the rest sharp. So does this
decoder, with any recording at any speed, and how much it knows is drawn anew for each.
"""

import math
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.checkpoint import load_model
from vocoder.config import Checked, ConfigError, Count, NotNegative
from vocoder.loading import model_directory
from vocoder.mel.config import MelConfig
from vocoder.models.families import Families, Family


@dataclass(frozen=True)
class MelCoderConfig(Checked):
    """The architecture. Raises ConfigError if a size is not positive, the kernel is even, or too few codes are left."""

    n_mels: Count = 80
    hop_length: Count = 256
    sample_rate: Count = 22050
    channels: Count = 160
    hidden: Count = 480
    kernel: Count = 5
    step: Count = 2
    """frames that one set of codes tells"""
    codes: Count = 64
    """numbers of a set, the most important first"""
    fewest: Count = 6
    """that are kept"""
    noise: NotNegative = 0.1
    """largest standard deviation of what is added to codes, which lie in -1 to 1"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kernel % 2 == 0 or self.fewest > self.codes:
            raise ConfigError(
                f"kernel must be odd and fewest at most codes, not {self.kernel} and {self.fewest} of {self.codes}"
            )


class ConvNeXtBlock(nn.Module):
    """A residual block over (B, T, C) (Liu et al., "A ConvNet for the 2020s", 2022)."""

    def __init__(self, channels: int, hidden: int, kernel: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.mix = nn.Conv1d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.widen, self.narrow = nn.Linear(channels, hidden), nn.Linear(hidden, channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return x (B, T, C) transformed."""
        y = self.norm(self.mix(x.transpose(1, 2)).transpose(1, 2))
        y = self.narrow(F.gelu(self.widen(y)))
        added: Tensor = x + self.dropout(y)
        return added


class MelCoder(nn.Module):
    """Tells natural-log mels by ordered codes, and draws mels from the first of them (arXiv 1402.0915)."""

    centre: Tensor
    spread: Tensor

    def __init__(self, config: MelCoderConfig) -> None:
        super().__init__()
        self.config = config
        size, step = config.channels, config.step

        def blocks(count: int) -> list[nn.Module]:
            return [ConvNeXtBlock(size, config.hidden, config.kernel) for _ in range(count)]

        self.encoder = nn.Sequential(nn.Linear(config.n_mels, size), *blocks(2))
        self.codes = nn.Sequential(nn.Linear(step * size, size), *blocks(1), nn.Linear(size, config.codes), nn.Tanh())
        self.start = nn.Sequential(nn.Linear(config.codes, size), *blocks(1), nn.Linear(size, step * size))
        self.decoder = nn.Sequential(*blocks(3), nn.Linear(size, config.n_mels))
        self.register_buffer("centre", torch.zeros(config.n_mels))
        self.register_buffer("spread", torch.ones(config.n_mels))

    def forward(self, mel: Tensor, kept: Tensor, noise: Tensor) -> Tensor:
        """Return mels like `mel` (B, n_mels, frames), drawn from the first `kept` (B,) codes of each with noise.

        `noise` (B,) is its standard deviation.
        """
        frames, step = mel.shape[2], self.config.step
        x = (F.pad(mel, (0, -frames % step), mode="replicate").transpose(1, 2) - self.centre) / self.spread
        codes = self.codes(self.encoder(x).unflatten(1, (-1, step)).flatten(2))
        codes = codes + noise[:, None, None] * torch.randn_like(codes)
        codes = codes * (torch.arange(self.config.codes, device=mel.device) < kept[:, None])[:, None]
        y = self.decoder(self.start(codes).unflatten(2, (step, -1)).flatten(1, 2)) * self.spread + self.centre
        drawn: Tensor = y.transpose(1, 2)[:, :, :frames]
        return drawn

    def drawn(self, mel: Tensor) -> Tensor:
        """Return mels like `mel` (B, n_mels, frames), each from a random number of codes and with its own noise."""
        config, chance = self.config, torch.rand(2, len(mel), device=mel.device)
        low, high = math.log(config.fewest), math.log(config.codes + 1)
        kept = torch.exp(low + (high - low) * chance[0]).floor()
        drawn: Tensor = self(mel, kept, config.noise * chance[1])
        return drawn


FAMILY: Families = MappingProxyType({"mel-coder": Family(MelCoderConfig, MelCoder)})
"""for `vocoder.checkpoint.load_model` and `save_model`"""


def load_coder(reference: str, mel_config: MelConfig) -> MelCoder:
    """Return the mel coder in a directory.

    Raises:
        ConfigError: it is of other mels.
        CheckpointError: there is none.
    """
    found = load_model(model_directory(reference), families=FAMILY)
    if not isinstance(found.model, MelCoder) or found.mel_config != mel_config:
        raise ConfigError(f"{reference} holds a coder of {found.mel_config.name} mels, not of {mel_config.name}")
    return found.model


@torch.no_grad()
def redrawn(mel: Tensor, coder: MelCoder, share: float) -> Tensor:
    """Return natural-log mels (B, n_mels, frames), a share of them drawn by the coder."""
    changed = (torch.rand(len(mel), device=mel.device) < share)[:, None, None]
    return torch.where(changed, coder.drawn(mel), mel)
