"""The model of the mel guard: densities of true mels, the recogniser of conventions, and their calibration."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from vocoder.flows.affine import LowerAffine
from vocoder.layers.recogniser import ConventionConfig, ConventionNet


@dataclass(frozen=True)
class GuardConfig:
    """Gaussian densities of windows of true mels, and a recogniser of conventions."""

    densities: tuple[str, ...] = ("nvidia",)
    """mels that each describes, LAYOUT or LAYOUT:VARIATION of `vocoder.mel.conventions`; the first are true mels"""
    n_mels: int = 80
    offsets: tuple[int, ...] = (0, 1, 2)
    """frames of a window, relative to its first"""
    windows: int = 48
    """number of windows of a mel that are scored, spread evenly over it"""
    convention: ConventionConfig = field(default_factory=ConventionConfig)


class GuardModel(nn.Module):
    """Gaussians of windows of natural-log mels, fitted by maximum likelihood in closed form, and a recogniser.

    Buffers hold the calibration:

    * `lowest` (1,), the log-density below which a mel is not speech;
    * `margin` (1,), by which the density of shuffled frames must exceed those of true mels to be trusted;
    * `percentiles` (101,) of the log-density of held-out true mels;
    * `refuted` (1,), the probability below which a mel does not follow the convention that it claims;
    * `certain` (1,), the probability from which the likeliest convention is named.

    All log-densities are in nats per value of a window.
    """

    lowest: Tensor
    margin: Tensor
    percentiles: Tensor
    refuted: Tensor
    certain: Tensor

    def __init__(self, config: GuardConfig) -> None:
        super().__init__()
        self.config = config
        size = config.n_mels * len(config.offsets)
        self.densities = nn.ModuleList(LowerAffine(size) for _ in config.densities)
        self.convention = ConventionNet(config.convention)
        for name, size in (("lowest", 1), ("margin", 1), ("percentiles", 101), ("refuted", 1), ("certain", 1)):
            self.register_buffer(name, torch.zeros(size))
