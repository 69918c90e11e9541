"""The model of the mel guard: densities of true mels, the recogniser of conventions, and their calibration."""

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from vocoder.flows.affine import LowerAffine
from vocoder.layers.recogniser import ConventionConfig, ConventionNet
from vocoder.mel.conventions import is_true, layout_of, layouts
from vocoder.stages import inference

LOST = 3.0  # penalty in nats for a value below the floor; the density sees it at the floor, where it is high
SLACK = 0.5  # nepers by which acoustic models undershoot the floor
FEWEST = 4  # fewest windows needed for a judgement
HEARD = 2.5  # nepers above the floor that a window's loudest band needs, so that silence does not count


@dataclass(frozen=True)
class GuardConfig:
    """Gaussian densities of windows of true mels, and a recogniser of conventions."""

    densities: tuple[str, ...] = ("nvidia",)
    """mels that each describes, LAYOUT or LAYOUT:VARIATION of `vocoder.mel.conventions`; the first are true mels"""
    n_mels: int = 80
    offsets: tuple[int, ...] = (0, 1, 2)  # frames of a window, relative to its first
    windows: int = 48  # number of windows of a mel that are scored, spread evenly over it
    convention: ConventionConfig = field(default_factory=ConventionConfig)


@dataclass(frozen=True)
class Typicality:
    """How typical of speech a mel is.

    `percent` of true mels are less likely than this one; None if too little of it has sound. `unlikely`: it is less
    likely than any true mel. `shuffled`: true frames in random order explain it better.
    """

    percent: float | None
    unlikely: bool = False
    shuffled: bool = False


class GuardModel(nn.Module):
    """Gaussians of windows of natural-log mels, fitted by maximum likelihood in closed form, and a recogniser.

    Buffers hold the calibration. All log-densities are in nats per value of a window.
    """

    def __init__(self, config: GuardConfig) -> None:
        super().__init__()
        self.config = config
        size = config.n_mels * len(config.offsets)
        self.densities = nn.ModuleList(LowerAffine(size) for _ in config.densities)
        self.convention = ConventionNet(config.convention)
        self.lowest = nn.Buffer(torch.zeros(1))  # log-density below which a mel is not speech
        self.margin = nn.Buffer(torch.zeros(1))  # by which a density of shuffled frames must exceed those of true mels
        self.percentiles = nn.Buffer(torch.zeros(101))  # percentiles of the log-density of held-out true mels
        self.refuted = nn.Buffer(torch.zeros(1))  # probability below which a mel does not follow the convention claimed
        self.certain = nn.Buffer(torch.zeros(1))  # probability from which the likeliest convention is named

    @cached_property
    def floor(self) -> float:
        """Natural logarithm of the floor of true mels."""
        return layouts()[layout_of(self.config.densities[0])].floor

    @cached_property
    def _tables(self) -> tuple[Tensor, Tensor, Tensor]:
        """The matrix and shift that score a window under all densities at once, and the constant of each; final."""
        flows = self.densities
        matrix = torch.stack([flow.matrix() for flow in flows]).detach()  # type: ignore[operator]
        shift = torch.stack([m @ flow.t.detach() for m, flow in zip(matrix, flows, strict=True)])  # type: ignore[operator]
        log_scale = torch.stack([flow.log_scale.detach().mean() for flow in flows])  # type: ignore[operator]
        constant = -log_scale - 0.5 * math.log(2.0 * math.pi)
        return matrix.flatten(0, 1).T.contiguous(), shift.flatten(), constant

    @inference()
    def score(self, mel: Tensor) -> Tensor | None:
        """Return the mean log-density (K,) in nats per value of a mel's windows, or None if too few have sound.

        The mel (n_mels, frames) holds natural logarithms. The densities must not change after the first call.
        """
        windows, (matrix, shift, constant) = windows_of(mel, self.config, self.floor), self._tables
        if len(windows) < FEWEST:
            return None
        lost = float((windows < self.floor - SLACK).float().mean())
        z = (windows.clamp_min(self.floor) @ matrix - shift).view(len(windows), len(constant), -1)
        return constant - 0.5 * z.square().mean(dim=(0, 2)) - LOST * lost

    def typicality(self, mel: Tensor) -> Typicality:
        """Judge a mel of natural logarithms (n_mels, frames)."""
        scored, true = self.score(mel), np.array([is_true(name) for name in self.config.densities])
        if scored is None:
            return Typicality(None)
        scores = scored.numpy()
        density = scores[true].max()
        percent = float((self.percentiles.numpy() < density).mean(dtype=np.float32) * np.float32(100.0))
        shuffled = bool((scores[~true] > density + self.margin.numpy()).any())
        return Typicality(percent, bool(density < self.lowest.numpy()), shuffled)


def windows_of(mel: Tensor, config: GuardConfig, floor: float) -> Tensor:
    """Return up to `config.windows` windows (N, D) with sound, spread evenly over a mel (n_mels, frames)."""
    frames, loud = mel.numpy().T, mel.numpy().max(axis=0) > floor + HEARD
    places = max(mel.shape[1] - config.offsets[-1], 0)
    heard = np.flatnonzero(sum(loud[first : first + places] for first in range(config.offsets[-1] + 1)))
    count = min(config.windows, len(heard))
    starts = heard[np.linspace(0, max(len(heard) - 1, 0), count).astype(np.int64)]
    windows = frames[starts[:, None] + np.array(config.offsets)]
    return torch.from_numpy(windows.reshape(count, len(mel) * len(config.offsets)))
