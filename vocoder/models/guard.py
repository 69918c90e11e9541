"""What is behind the mel guard: densities of true mels, a recogniser of conventions, and their calibration."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.config import ConfigError
from vocoder.flows.affine import LowerAffine
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
    """Tell by which convention a mel was computed, from statistics that any recording has.

    Two hidden layers give one answer each for how bands are computed and how written.

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


@dataclass(frozen=True)
class GuardConfig:
    """Gaussian densities of windows of true mels, and a recogniser of conventions."""

    densities: tuple[str, ...] = ("nvidia",)
    """what each is of: LAYOUT or LAYOUT:VARIATION, of `vocoder.guard.conventions`; the first is of true mels"""
    n_mels: int = 80
    offsets: tuple[int, ...] = (0, 1, 2)
    """frames of a window, counted from its first"""
    windows: int = 48
    """of a mel that are scored, spread evenly over it"""
    convention: ConventionConfig = field(default_factory=ConventionConfig)

    def __post_init__(self) -> None:
        if self.n_mels < 2 or self.windows < 1 or not self.densities:
            raise ConfigError(f"n_mels must be 2 or more, windows and densities at least one: {self}")
        if len(set(self.densities)) < len(self.densities):
            raise ConfigError(f"every density needs a name of its own, not {list(self.densities)}")
        if not self.offsets or self.offsets[0] != 0 or sorted(set(self.offsets)) != list(self.offsets):
            raise ConfigError(f"offsets must rise from 0, not {list(self.offsets)}")

    @property
    def span(self) -> int:
        """Frames from the first to the last of a window."""
        return self.offsets[-1] + 1

    @property
    def dimensions(self) -> int:
        """Numbers in a window."""
        return self.n_mels * len(self.offsets)


class GuardModel(nn.Module):
    """Gaussians of windows of natural-log mels, each the flow of greatest likelihood in closed form, and a recogniser.

    What goes with them is kept beside them:

    * `lowest` (1,), the log-density below which a mel is no speech;
    * `margin` (1,), by which the density of shuffled frames must exceed those of true mels to be believed;
    * `percentiles` (101,) of the log-density of true mels that no density was fitted to;
    * `refuted` (1,), the probability below which a mel is not of the convention that it claims;
    * `certain` (1,), the probability from which the likeliest convention is named.

    All log-densities are in nats per number of a window.
    """

    lowest: Tensor
    margin: Tensor
    percentiles: Tensor
    refuted: Tensor
    certain: Tensor

    def __init__(self, config: GuardConfig) -> None:
        super().__init__()
        self.config = config
        self.densities = nn.ModuleList(LowerAffine(config.dimensions) for _ in config.densities)
        self.convention = ConventionNet(config.convention)
        for name, size in (("lowest", 1), ("margin", 1), ("percentiles", 101), ("refuted", 1), ("certain", 1)):
            self.register_buffer(name, torch.zeros(size))
