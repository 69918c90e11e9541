"""What is behind the mel guard: densities of true mels, the recogniser of conventions, and their calibration."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from vocoder.flows.affine import LowerAffine
from vocoder.layers.recogniser import ConventionConfig, ConventionNet


@dataclass(frozen=True)
class GuardConfig:
    """Gaussian densities of windows of true mels, and a recogniser of conventions."""

    densities: tuple[str, ...] = ("nvidia",)
    """what each is of: LAYOUT or LAYOUT:VARIATION, of `vocoder.mel.conventions`; the first is of true mels"""
    n_mels: int = 80
    offsets: tuple[int, ...] = (0, 1, 2)
    """frames of a window, counted from its first"""
    windows: int = 48
    """of a mel that are scored, spread evenly over it"""
    convention: ConventionConfig = field(default_factory=ConventionConfig)


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
        size = config.n_mels * len(config.offsets)
        self.densities = nn.ModuleList(LowerAffine(size) for _ in config.densities)
        self.convention = ConventionNet(config.convention)
        for name, size in (("lowest", 1), ("margin", 1), ("percentiles", 101), ("refuted", 1), ("certain", 1)):
            self.register_buffer(name, torch.zeros(size))
