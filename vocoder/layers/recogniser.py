"""The recogniser of conventions: statistics of a mel, the network that reads them, and its answers.

Statistics use NumPy, whose calls take a microsecond or two; for a mel as short as a second, calls on tensors would take
longer than the arithmetic. Products use `einsum` rather than `@` or `dot`, which call a BLAS whose threads spin for a
while after each product and keep the cores from the model.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.mel.conventions import ANY, DB10, NOT_SPEECH, POWER, SHUFFLED, TRANSPOSED, TRUE, Convention, encodings
from vocoder.stages import inference

_BELOW = (-105.0, -60.0, -20.0, -11.6, -11.45, -10.05, -8.0, -5.05, -4.9, -4.02, -3.98, -2.0, -0.5, -0.02)
THRESHOLDS: tuple[float, ...] = (*_BELOW, 0.02, 0.5, 1.02, 2.0, 4.05, 10.0, 40.0)
"""the share of values above each is a statistic; they are dense around the floors of conventions"""
SCALARS = 10
NEIGHBOURS = 6  # number of higher bands that each band is correlated with
FAST_NEIGHBOURS = 3  # the same for changes from frame to frame
STEPS = (1, 2, 3, 4, 5, 6, 8)
"""distances in frames of measured changes: in noise changes grow until two windows no longer overlap"""
GROUP = 5  # bands whose changes are averaged
LIMIT = 6.0  # values are clamped to this many deviations from the mean
STILL = 1e-3  # a frame repeats the one before it if no band differs by more than this many deviations
FEWEST = 4  # moving frames needed; with fewer, all frames count
TINY = np.float32(1e-4)
FARTHEST = 8.0  # statistics are clamped to this many deviations from their mean
LIKELIEST = 3
END_SHARE = 0.0625
"""largest distance of a recording's smallest value from the lower end of mapped decibels, as a share of their range"""
PAUSE = 128  # frames from which a mel contains silence; a single word may have none
NEVER = 1e-6  # negligible probability
POWERS = Convention(POWER, DB10)

Array = NDArray[np.float32]


@dataclass(frozen=True)
class ConventionConfig:
    """The conventions to tell apart, and the size of the network."""

    layouts: tuple[str, ...] = ("nvidia",)  # layouts of `vocoder.mel.conventions`, also `shuffled` and `not-speech`
    encodings: tuple[str, ...] = ("ln",)  # encodings of `vocoder.mel.conventions`
    n_mels: int = 80
    hidden: int = 256
    frames: int = 384  # most frames of a mel that are used
    dropout: float = 0.1  # dropout in training


class ConventionNet(nn.Module):
    """Recognises the convention of a mel from statistics, with two hidden layers and outputs for layout and encoding.

    Statistics are normalised as in training (`centre`, `spread`). The logits are divided by `temperature` (2,), which
    is fitted to held-out recordings (arXiv 1706.04599).
    """

    def __init__(self, config: ConventionConfig) -> None:
        super().__init__()
        self.config = config
        self.conventions = [Convention(layout, e) for layout in config.layouts for e in config.encodings]
        """the known conventions, in the order of the outputs"""
        self.index = {convention: i for i, convention in enumerate(self.conventions)}
        per_band = 5 + NEIGHBOURS + FAST_NEIGHBOURS
        size = SCALARS + len(THRESHOLDS) + per_band * config.n_mels + 2 * len(STEPS) * (config.n_mels // GROUP)
        self.centre, self.spread = nn.Buffer(torch.zeros(size)), nn.Buffer(torch.ones(size))
        self.temperature = nn.Buffer(torch.ones(2))
        self.first = nn.Linear(size, config.hidden)
        self.second = nn.Linear(config.hidden, config.hidden)
        self.layout = nn.Linear(config.hidden, len(config.layouts))
        self.encoding = nn.Linear(config.hidden, len(config.encodings))

    def forward(self, statistics: Tensor) -> tuple[Tensor, Tensor]:
        """Return the log-probabilities (B, layouts) and (B, encodings) of mels with statistics (B, S)."""
        x = ((statistics - self.centre) / self.spread).clamp(-FARTHEST, FARTHEST)
        for layer in (self.first, self.second):
            x = F.dropout(F.relu(layer(x)), self.config.dropout, self.training)
        layout, encoding = self.layout(x) / self.temperature[0], self.encoding(x) / self.temperature[1]
        return layout.log_softmax(dim=1), encoding.log_softmax(dim=1)

    @inference()
    def recognise(self, mel: Tensor, certain: float = 0.0, claimed: Convention | None = None) -> "Recognition":
        """Recognise a mel (n_mels, frames) by its first frames that are not constant.

        The answer is reliable from the probability `certain`. Mapped decibels start at the lower end of their range,
        where silence is. Values that look like them but start elsewhere are probably normalised by mean and deviation,
        so the answer is uncertain, and from `PAUSE` frames another one is given, unless mapped decibels are `claimed`.
        Little but the level tells decibels of power from others, so a claim to them covers all; 10 log10 of magnitudes
        is not used by anyone.
        """
        part = self._part(mel.numpy())
        layout, encoding = self(torch.from_numpy(mel_statistics(part))[None])
        joint = (layout[0, :, None] + encoding[0]).flatten().exp().double().numpy()
        if POWERS in self.index:
            (names, kinds), power = self.seen, [self.index[POWERS], self.index[Convention(TRUE, DB10)]]
            alike = np.array([c.layout == ANY for c in names])[kinds] if claimed == POWERS else power
            share, joint[alike] = joint[alike].sum(), 0.0
            joint[power[0]] = share
        impossible = np.abs(part.min() - self._ends[0]) > END_SHARE * self._ends[1]
        if claimed is not None:
            impossible[self.index[claimed]] = False
        doubt = joint[impossible].sum() > 1.0 - certain
        if part.shape[1] >= PAUSE:
            joint[impossible] = 0.0
            joint /= joint.sum()
        best = int(joint.argmax())
        guess = Guess(self.conventions[best], float(joint[best]))
        return Recognition(guess, bool(guess.probability >= certain and not doubt), joint, self)

    @cached_property
    def seen(self) -> tuple[list[Convention], NDArray[np.intp]]:
        """The conventions, with those merged that messages cannot tell apart, and the index of each one there."""
        decibels = {name for name, encoding in encodings().items() if encoding.cause == "decibels"}
        merged = {c: Convention(ANY, c.encoding) for c in self.conventions if c.encoding in decibels}
        first = self.config.encodings[0]
        merged |= {c: Convention(c.layout, first) for c in self.conventions if c.layout in (SHUFFLED, NOT_SPEECH)}
        kinds = [merged.get(c, c) for c in self.conventions]
        names = list(dict.fromkeys(kinds))
        return names, np.array([names.index(kind) for kind in kinds])

    @cached_property
    def _ends(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The lower end and the range of each convention's values, infinite unless they are mapped decibels."""
        ends = np.zeros(len(self.conventions)), np.full(len(self.conventions), np.inf)
        for i, convention in enumerate(self.conventions):
            fields = {} if convention.encoding not in encodings() else encodings()[convention.encoding].fields or {}
            if "range_db" in fields:
                ends[0][i] = fields.get("range_low", 0.0)
                ends[1][i] = fields.get("range_high", 1.0) - ends[0][i]
        return ends

    def _part(self, mel: Array) -> Array:
        """Return the frames to judge, from where the mel begins to change."""
        most, frames = self.config.frames, mel.shape[1]
        if frames < 2:
            return np.repeat(mel, 2, axis=1)
        moved = np.flatnonzero((mel[:, 1:] != mel[:, :-1]).any(axis=0)) if frames > most else np.zeros(1, int)
        start = min(int(moved[0]) if len(moved) else 0, max(0, frames - most))
        return mel[:, start : start + most]


@dataclass(frozen=True)
class Guess:
    """A convention and its probability."""

    convention: Convention
    probability: float

    def as_dict(self) -> dict[str, Any]:
        """Return the guess as plain data."""
        preset = self.convention.preset
        return {"convention": self.convention.words, "preset": preset, "probability": round(self.probability, 4)}


@dataclass(frozen=True, eq=False)
class Recognition:
    """The likeliest convention of a mel, whether it is reliable, and the probability of each convention."""

    best: Guess
    certain: bool
    joint: NDArray[np.float64]  # probabilities of the conventions that `net` knows
    net: ConventionNet

    @cached_property
    def probabilities(self) -> Mapping[Convention, float]:
        """The probability of each convention."""
        return dict(zip(self.net.conventions, self.joint.tolist(), strict=True))

    @property
    def likeliest(self) -> tuple[Guess, ...]:
        """The likeliest conventions; layouts of decibels are merged, and so are encodings of what is not speech."""
        names, kinds = self.net.seen
        sums = np.bincount(kinds, self.joint)
        return tuple(Guess(names[i], float(sums[i])) for i in np.argsort(-sums, kind="stable")[:LIKELIEST])

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


def mel_statistics(mel: Array) -> Array:
    """Return the statistics (S,) float32 of a mel (n_mels, frames) of any convention, with at least two frames.

    After statistics of the raw values they are computed on the normalised mel, which is independent of level and base
    of the logarithm. Frames that repeat the previous one, as digital silence does, are ignored.
    """
    x, values = _normalised(np.ascontiguousarray(mel, np.float32))
    steps = x[:, 1:] - x[:, :-1]
    moved = np.maximum(steps.max(axis=0), -steps.min(axis=0)) > STILL
    weight = np.concatenate([moved[:1], moved]).astype(np.float32)
    weight = weight if weight.sum() >= FEWEST else np.ones(x.shape[1], np.float32)
    share = weight / weight.sum()
    mean = np.einsum("mt,t->m", x, share)
    y = (x - mean[:, None]) * np.sqrt(share)
    variance = np.einsum("mt,mt->m", y, y)
    level = np.add.reduce(x, axis=0)
    quiet = weight * (level < np.einsum("t,t->", share, level))
    low = np.einsum("mt,t->m", x, quiet / max(quiet.sum(), np.float32(1.0)))
    found = [values, mean, np.log(np.sqrt(variance) + np.float32(1e-2)), low, _correlations(y, variance, NEIGHBOURS)]
    change = steps * np.sqrt(_pairs(weight, 1))
    variance = np.einsum("mt,mt->m", change, change)
    found += [np.log(variance + TINY), _correlations(change, variance, FAST_NEIGHBOURS)]
    curved = x[2:] - 2.0 * x[1:-1] + x[:-2]
    curvature = np.zeros(len(x), np.float32)
    curvature[1:-1] = np.log(np.einsum("mt,t->m", np.square(curved, out=curved), share) + TINY)
    return np.concatenate([*found, curvature, _changes(x, weight, quiet)]).astype(np.float32, copy=False)


def _normalised(mel: Array) -> tuple[Array, Array]:
    """Return a mel normalised to mean 0 and deviation 1, and statistics (SCALARS + len(THRESHOLDS),) of its values."""
    count, mean = mel.size, mel.mean(dtype=np.float64)
    x = mel - np.float32(mean)
    deviation = math.sqrt(float(np.square(x).mean())) + 1e-5
    low, high = float(mel.min()), float(mel.max())
    x *= np.float32(1.0 / deviation)
    np.clip(x, -LIMIT, LIMIT, out=x)
    slack = np.float32(1e-3 * (high - low))
    at_floor = np.count_nonzero(mel <= np.float32(low) + slack) / count
    at_ceiling = np.count_nonzero(mel >= np.float32(high) - slack) / count
    squares = x * x
    skew, tails = float((squares * x).mean()), float(np.square(squares).mean())
    numbers = [math.copysign(math.log1p(abs(v)), v) for v in (mean, deviation, low, high)]
    numbers += [skew, math.log(tails + 1e-4), at_floor, at_ceiling, math.log(at_floor + 1e-4), math.log(mel.shape[1])]
    shares = [np.count_nonzero(above) / count for above in mel.ravel() > np.array(THRESHOLDS, np.float32)[:, None]]
    return x, np.array([*numbers, *shares], np.float32)


def _pairs(weight: Array, step: int) -> Array:
    """Return weights (..., frames - step) of pairs of frames; they sum to 1 if there is a pair."""
    both = weight[..., step:] * weight[..., :-step]
    pairs: Array = both / np.add.reduce(both, axis=-1, keepdims=True).clip(np.float32(1.0))
    return pairs


def _changes(x: Array, weight: Array, quiet: Array) -> Array:
    """Return the changes of groups of bands over `STEPS` frames, overall and in quiet frames: (2 steps groups,)."""
    groups = len(x) // GROUP
    x, weights = x[: groups * GROUP], np.stack([weight, quiet])
    found = np.zeros((len(x), 2 * len(STEPS)), np.float32)
    for i, step in enumerate(STEPS):
        if x.shape[1] > step:
            squares = x[:, step:] - x[:, :-step]
            np.square(squares, out=squares)
            found[:, 2 * i : 2 * i + 2] = np.einsum("mt,st->ms", squares, _pairs(weights, step))
    averages = np.add.reduce(found.reshape(groups, GROUP, -1), axis=1) * np.float32(1.0 / GROUP)
    changes: Array = np.log(averages + TINY).T.ravel()
    return changes


def _correlations(y: Array, variance: Array, neighbours: int) -> Array:
    """Return the correlations (neighbours * n_mels,) of each band with those above it, 0 beyond the last.

    The values y (n_mels, frames) are scaled so that their products sum to covariances.
    """
    scale = 1.0 / np.sqrt(variance + TINY)
    correlations: Array = np.einsum("mt,kmt->km", y, _above(y, neighbours)) * scale * _above(scale, neighbours)
    return correlations.ravel()


def _above(x: Array, neighbours: int) -> Array:
    """Return a view (neighbours, n_mels, ...) of the bands above each band of x (n_mels, ...), 0 beyond the last."""
    more = np.zeros((len(x) + neighbours, *x.shape[1:]), np.float32)
    more[: len(x)] = x
    return np.ndarray((neighbours, *x.shape), np.float32, more, more.strides[0], more.strides[:1] + more.strides)
