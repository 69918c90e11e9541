"""Adapters: networks that convert between two mel configs where no formula does."""

import itertools
import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from vocoder.config import Checked, Count, NotNegativeInt
from vocoder.layers.product import Product
from vocoder.mel.config import MelConfig, preset


@dataclass(frozen=True)
class AdapterConfig(Checked):
    """A linear map of a few frames, plus a small network if there are hidden layers."""

    target: MelConfig = field(default_factory=lambda: preset("nvidia"))
    """mel config of the output, with natural logarithms"""
    bands: Count = 80
    """number of input bands"""
    seen: int | None = None
    """number of lowest input bands that are used; by default all. Bands above the target's carry no information"""
    before: NotNegativeInt = 1
    after: NotNegativeInt = 1
    """input frames before and after an output frame that are used, spaced like the target's frames"""
    hidden: tuple[int, ...] = ()
    """width of each hidden layer"""

    @property
    def looked_at(self) -> int:
        """Number of input bands that are used."""
        return self.bands if self.seen is None else self.seen

    @property
    def inputs(self) -> int:
        """Number of input values per output frame."""
        return self.looked_at * (self.before + 1 + self.after)


class AdapterModel(nn.Module):
    """Maps windows of frames of one mel config, normalised by bands, to frames of another, clamped at its floor."""

    def __init__(self, config: AdapterConfig) -> None:
        super().__init__()
        self.config = config
        n_mels = config.target.n_mels
        self.mean = nn.Buffer(torch.zeros(config.looked_at))
        self.deviation = nn.Buffer(torch.ones(config.looked_at))
        self.linear = Product(config.inputs, n_mels)
        pairs = list(itertools.pairwise((config.inputs, *config.hidden, n_mels))) if config.hidden else []
        self.layers = nn.ModuleList(Product(one, other) for one, other in pairs)

    def forward(self, windows: Tensor) -> Tensor:
        """Map windows (N, taps, bands) of the used bands to frames (N, n_mels)."""
        x = self.normalised(windows)
        y: Tensor = self.linear(x)
        for i, layer in enumerate(self.layers):
            x = layer(nn.functional.gelu(x) if i else x)
        return (y + x if self.layers else y).clamp_min(math.log(self.config.target.floor))

    def normalised(self, windows: Tensor) -> Tensor:
        """Normalise and flatten windows (N, taps, bands) to (N, inputs)."""
        return ((windows - self.mean) / self.deviation).flatten(1)
