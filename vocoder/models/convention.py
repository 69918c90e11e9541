"""The network that tells by which convention a mel was computed, from statistics that any recording has."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.config import ConfigError
from vocoder.layers.mel_statistics import statistics_size

LIMIT = 8.0  # deviations from the mean that a statistic counts as at most


@dataclass(frozen=True)
class ConventionConfig:
    """What is told apart, and the size of the network."""

    layouts: tuple[str, ...] = ("nvidia",)
    """how the bands are computed, by names of `vocoder.guard.conventions`, `shuffled` and `not-speech` included"""
    encodings: tuple[str, ...] = ("ln",)
    """how they are written, by names of `vocoder.guard.conventions`"""
    n_mels: int = 80
    hidden: int = 256
    frames: int = 384
    """of a mel that are looked at, at most"""
    dropout: float = 0.1
    """in training"""

    def __post_init__(self) -> None:
        for name in ("layouts", "encodings"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise ConfigError(f"{name} must hold names, each once, not {list(values)}")
        if self.n_mels < 8 or self.hidden < 1 or self.frames < 8 or not 0 <= self.dropout < 1:
            raise ConfigError(f"n_mels and frames must be 8 or more, hidden positive, dropout below 1: {self}")


class ConventionNet(nn.Module):
    """Two hidden layers over exact statistics, and one answer each for how bands are computed and how written.

    Statistics are normalised by what they were in training (`centre`, `spread`). The logits are divided by
    `temperature` (2,), fitted to recordings that training had no part of (arXiv 1706.04599).
    """

    centre: Tensor
    spread: Tensor
    temperature: Tensor

    def __init__(self, config: ConventionConfig) -> None:
        super().__init__()
        self.config = config
        size = statistics_size(config.n_mels)
        self.register_buffer("centre", torch.zeros(size))
        self.register_buffer("spread", torch.ones(size))
        self.register_buffer("temperature", torch.ones(2))
        self.first = nn.Linear(size, config.hidden)
        self.second = nn.Linear(config.hidden, config.hidden)
        self.layout = nn.Linear(config.hidden, len(config.layouts))
        self.encoding = nn.Linear(config.hidden, len(config.encodings))

    def forward(self, statistics: Tensor) -> tuple[Tensor, Tensor]:
        """Return the log-probabilities (B, layouts) and (B, encodings) of mels with statistics (B, S)."""
        x = ((statistics - self.centre) / self.spread).clamp(-LIMIT, LIMIT)
        for layer in (self.first, self.second):
            x = F.dropout(F.relu(layer(x)), self.config.dropout, self.training)
        layout, encoding = self.layout(x) / self.temperature[0], self.encoding(x) / self.temperature[1]
        return layout.log_softmax(dim=1), encoding.log_softmax(dim=1)
