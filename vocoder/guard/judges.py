"""The judges behind the guard: a recogniser of conventions, and densities of true mels."""

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from vocoder.guard.conventions import (
    ANY,
    NOT_SPEECH,
    SHUFFLED,
    TRANSPOSED,
    Convention,
    encodings,
    is_true,
    layout_of,
    layouts,
)
from vocoder.layers.recogniser import ConventionNet, mel_statistics
from vocoder.models.guard import GuardConfig, GuardModel

LIKELIEST = 3
NEVER = 1e-6
"""negligible probability"""
LOST = 3.0
"""nats that a value below the floor costs, because the density sees it at the floor, where it is high"""
SLACK = 0.5
"""nats by which acoustic models undershoot the floor"""
FEWEST = 4
"""fewest windows that suffice"""
HEARD = 2.5
"""nats above the floor that the loudest band of a window needs, so that silence does not count"""


@dataclass(frozen=True)
class Guess:
    """A convention and its probability."""

    convention: Convention
    probability: float

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        preset = self.convention.preset
        return {"convention": self.convention.words, "preset": preset, "probability": round(self.probability, 4)}


@dataclass(frozen=True)
class Recognition:
    """The convention that a mel is likeliest to follow, whether that is reliable, and how probable each one is."""

    best: Guess
    certain: bool
    probabilities: Mapping[Convention, float]

    @property
    def likeliest(self) -> tuple[Guess, ...]:
        """The likeliest conventions, without the layouts of decibels, which are not seen reliably."""
        sums: dict[Convention, float] = defaultdict(float)
        for convention, probability in self.probabilities.items():
            sums[_as_seen(convention)] += probability
        likeliest = sorted(sums.items(), key=lambda each: each[1], reverse=True)[:LIKELIEST]
        return tuple(Guess(*each) for each in likeliest)

    @property
    def upright(self) -> float:
        """Log-odds that the bands of the mel are its rows rather than its columns."""
        across = along = NEVER
        for convention, probability in self.probabilities.items():
            if convention.encoding == TRANSPOSED:
                across += probability
            elif convention.layout not in (SHUFFLED, NOT_SPEECH):
                along += probability
        return math.log(along) - math.log(across)


@cache
def _as_seen(convention: Convention) -> Convention:
    """Return a convention without its layout, where that is not seen reliably."""
    seen = encodings()[convention.encoding].cause != "decibels" or convention.layout in (SHUFFLED, NOT_SPEECH)
    return convention if seen else Convention(ANY, convention.encoding)


class Recogniser:
    """Recognises conventions by a classifier; an answer is reliable from the probability `certain` on."""

    def __init__(self, net: ConventionNet, certain: float) -> None:
        self.net, self.certain = net, certain
        names = net.config
        self.conventions = [Convention(layout, e) for layout in names.layouts for e in names.encodings]
        """those that it knows, in the order of the classifier's answers"""

    @torch.inference_mode()
    def recognise(self, mel: Tensor) -> Recognition:
        """Recognise a mel (n_mels, frames) by its first frames that are not constant."""
        statistics = torch.from_numpy(mel_statistics(self._part(mel.numpy())))
        layout, encoding = self.net(statistics[None])
        joint = (layout[0, :, None] + encoding[0]).flatten().exp().tolist()
        probabilities = dict(zip(self.conventions, joint, strict=True))
        best = Guess(*max(probabilities.items(), key=lambda each: each[1]))
        return Recognition(best, best.probability >= self.certain, probabilities)

    def _part(self, mel: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the frames to judge, starting where the mel begins to change."""
        most, frames = self.net.config.frames, mel.shape[1]
        if frames < 2:
            return np.repeat(mel, 2, axis=1)
        moved = np.flatnonzero((mel[:, 1:] != mel[:, :-1]).any(axis=0)) if frames > most else np.zeros(1, int)
        start = min(int(moved[0]) if len(moved) else 0, max(0, frames - most))
        return mel[:, start : start + most]


@dataclass(frozen=True)
class Typicality:
    """How typical of speech a mel is.

    `percent` of true mels are less likely than this one; None if too little of it has sound. `unlikely`: no true mel is
    as unlikely. `shuffled`: true frames in random order explain it better.
    """

    percent: float | None
    unlikely: bool = False
    shuffled: bool = False


class Densities:
    """Scores mels under all densities of a model with one product."""

    def __init__(self, model: GuardModel) -> None:
        self.model = model
        self.names = model.config.densities
        self.floor = layouts()[layout_of(self.names[0])].floor
        self._true = torch.tensor([is_true(name) for name in self.names])
        flows = model.densities
        matrix = torch.stack([flow.matrix() for flow in flows]).detach()  # type: ignore[operator]
        shift = torch.stack([m @ flow.t.detach() for m, flow in zip(matrix, flows, strict=True)])  # type: ignore[operator]
        self._matrix, self._shift = matrix.flatten(0, 1).T.contiguous(), shift.flatten()
        log_scale = torch.stack([flow.log_scale.detach().mean() for flow in flows])  # type: ignore[operator]
        self._constant = -log_scale - 0.5 * math.log(2.0 * math.pi)

    @torch.inference_mode()
    def score(self, mel: Tensor) -> Tensor | None:
        """Return the mean log-density (K,) of a mel's windows in nats per value, or None if too few have sound.

        The mel holds natural logarithms (n_mels, frames).
        """
        starts = window_starts(mel, self.model.config, self.floor)
        if len(starts) < FEWEST:
            return None
        windows = windows_at(mel, starts, self.model.config)
        lost = float((windows < self.floor - SLACK).float().mean())
        z = (windows.clamp_min(self.floor) @ self._matrix - self._shift).view(len(windows), len(self.names), -1)
        return self._constant - 0.5 * z.square().mean(dim=(0, 2)) - LOST * lost

    def typicality(self, mel: Tensor) -> Typicality:
        """Judge a mel of natural logarithms (n_mels, frames)."""
        scores, model = self.score(mel), self.model
        if scores is None:
            return Typicality(None)
        density = scores[self._true].amax()
        percent = float((model.percentiles < density).float().mean() * 100.0)
        shuffled = bool((scores[~self._true] > density + model.margin).any())
        return Typicality(percent, bool(density < model.lowest), shuffled)


def window_starts(mel: Tensor, config: GuardConfig, floor: float) -> Tensor:
    """Return the first frames (N,) of up to `config.windows` windows with sound, spread evenly over the mel."""
    span = config.offsets[-1] + 1
    if mel.shape[1] < span:
        return torch.zeros(0, dtype=torch.long)
    loudest = F.max_pool1d(mel.amax(dim=0)[None], span, stride=1)[0]
    heard = torch.nonzero(loudest > floor + HEARD)[:, 0]
    count = min(config.windows, len(heard))
    return heard[torch.from_numpy(np.linspace(0, max(len(heard) - 1, 0), count).astype(np.int64))]


def windows_at(mel: Tensor, starts: Tensor, config: GuardConfig) -> Tensor:
    """Return windows (N, D) of a mel (n_mels, frames), frame by frame."""
    frames = starts[:, None] + torch.tensor(config.offsets)
    return mel.T[frames].flatten(1)
