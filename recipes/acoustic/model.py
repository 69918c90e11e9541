"""The acoustic model, which maps phonemes with durations to a mel in parallel.

(Ren et al., "FastSpeech 2: Fast and high-quality end-to-end text to speech", 2021, and Lancucki, "FastPitch: Parallel
text-to-speech with pitch prediction", 2021, for what is given and what is predicted; blocks of Liu et al., "A ConvNet
for the 2020s", 2022, in place of attention.)
"""

from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recipes.acoustic.items import PLACES
from vocoder.config import Checked, Count, Rules
from vocoder.models.families import Families, Family

PROSODY = 3
"""prosody values per token: pitch, voicing, level"""


@dataclass(frozen=True)
class AcousticConfig(Checked):
    """The architecture. Raises ConfigError if a size is not positive, or the kernel is even."""

    n_mels: Count = 80
    tokens: Count = 178
    """Number of phonemes; the next index is padding."""
    style: Count = 256
    """Size of the vector that identifies a voice."""
    channels: Count = 256
    hidden: Count = 768
    kernel: Count = 7
    encoder: Count = 4
    """Number of blocks over phonemes."""
    decoder: Count = 5
    """Number of blocks over frames."""
    prosody: bool = False
    """Whether pitch, voicing and level of each phoneme are predicted and given to the decoder (FastPitch)."""
    dropout: float = 0.1

    def _rules(self) -> Rules:
        valid = self.kernel % 2 == 1 and 0 <= self.dropout < 1
        yield valid, f"kernel must be odd and dropout in [0, 1), not {self.kernel} and {self.dropout}"


class _Block(nn.Module):
    """A residual ConvNeXt block over (B, T, C)."""

    def __init__(self, config: AcousticConfig) -> None:
        super().__init__()
        size = config.channels
        self.mix = nn.Conv1d(size, size, config.kernel, padding=config.kernel // 2, groups=size)
        self.norm = nn.LayerNorm(size)
        self.widen, self.narrow = nn.Linear(size, config.hidden), nn.Linear(config.hidden, size)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Transform x (B, T, C); positions where `mask` (B, T, 1) is 0 stay 0."""
        y = self.norm(self.mix(x.transpose(1, 2)).transpose(1, 2))
        y = self.narrow(F.gelu(self.widen(y)))
        masked: Tensor = (x + self.dropout(y)) * mask
        return masked


class _Predictor(nn.Module):
    """Predicts the prosody of phonemes from their features."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv1d(size, size, 3, padding=1) for _ in range(2))
        self.out = nn.Conv1d(size, PROSODY, 1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return (B, 3, N) from x (B, C, N); positions where `mask` (B, 1, N) is 0 are ignored."""
        y = F.gelu(self.first(x)) * mask
        predicted: Tensor = self.out(F.gelu(self.second(y)) * mask)
        return predicted


class AcousticModel(nn.Module):
    """Predicts a mel from phonemes, durations and a style."""

    centre: Tensor
    spread: Tensor

    def __init__(self, config: AcousticConfig) -> None:
        super().__init__()
        self.config = config
        size = config.channels
        self.embedding = nn.Embedding(config.tokens + 1, size, padding_idx=config.tokens)
        self.voice, self.colour = nn.Linear(config.style, size), nn.Linear(config.style, size)
        self.place = nn.Sequential(nn.Linear(PLACES, 64), nn.GELU(), nn.Linear(64, size))
        self.encoder = nn.ModuleList(_Block(config) for _ in range(config.encoder))
        self.decoder = nn.ModuleList(_Block(config) for _ in range(config.decoder))
        self.predictor = _Predictor(size) if config.prosody else None
        self.given = nn.Linear(PROSODY, size) if config.prosody else None
        self.norm, self.out = nn.LayerNorm(size), nn.Linear(size, config.n_mels)
        self.register_buffer("centre", torch.zeros(config.n_mels))
        self.register_buffer("spread", torch.ones(config.n_mels))

    def forward(
        self, tokens: Tensor, style: Tensor, index: Tensor, places: Tensor, mask: Tensor, prosody: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the mel (B, n_mels, frames) and the prosody (B, 3, N) that it predicts, None where it predicts none.

        Tokens (B, N) are padded by `config.tokens`, style is (B, style). Frames have the `index` (B, frames) of their
        token, their `places` (B, 4, frames) in it, and a `mask` (B, frames), 0 for padding. A given prosody takes the
        place of what is predicted.
        """
        present = (tokens != self.config.tokens)[..., None].to(style.dtype)
        x = (self.embedding(tokens) + self.voice(style)[:, None]) * present
        for block in self.encoder:
            x = block(x, present)
        predicted = None
        if self.predictor is not None and self.given is not None:
            predicted = self.predictor(x.transpose(1, 2), present.transpose(1, 2))
            x = x + self.given((predicted if prosody is None else prosody).transpose(1, 2))
        frames = x.gather(1, index[..., None].expand(-1, -1, x.shape[2]))
        y = (frames + self.place(places.transpose(1, 2)) + self.colour(style)[:, None]) * mask[..., None]
        for block in self.decoder:
            y = block(y, mask[..., None])
        mel = self.out(self.norm(y)).float() * self.spread + self.centre
        return mel.transpose(1, 2), predicted


FAMILY: Families = MappingProxyType({"acoustic": Family(AcousticConfig, AcousticModel)})
"""for `vocoder.checkpoint.load_model` and `save_model`"""
