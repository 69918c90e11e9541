"""Every way that a mel may have come about, scored: exact conversions as flows in front of the densities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vocoder.guard.conversions import Conversion
from vocoder.guard.layouts import layout_of, layouts
from vocoder.models.guard import GuardConfig, GuardModel

__all__ = ["HEARD", "Hypothesis", "Scorer", "window_starts", "windows_at"]

LOST = 3.0
"""nats that a value below the floor costs: it could be anywhere there, but the density sees it at the floor, where it
is high"""
SLACK = 0.5
"""nats below the floor that acoustic models overshoot by"""
LIVELY = 0.8
"""nats of standard deviation that a conversion must leave: speech has twice as much, and flat values look likely"""
FEWEST = 4
"""windows of a mel that say something"""
HEARD = 2.5
"""nats above the floor that the loudest band of a window must have: windows of silence say nothing"""


@dataclass(frozen=True)
class Hypothesis:
    """A conversion with a density, and how well they explain a mel.

    Attributes:
        conversion: of the values.
        index: of the density.
        log_prob: of the mel, in nats per value, the conversion's log-determinant included.
        density: the same without it: how typical the converted mel is of the density.
    """

    conversion: Conversion
    index: int
    log_prob: float
    density: float


class Scorer:
    """Scores hypotheses about mels.

    Args:
        model: the densities.
    """

    def __init__(self, model: GuardModel) -> None:
        self.model = model
        self.names = model.config.densities
        self.floors = [layouts()[layout_of(name)].floor for name in self.names]
        self.true_floor = self.floors[0]
        self._groups = [[k for k, other in enumerate(self.floors) if other == floor] for floor in set(self.floors)]
        flows = model.densities
        self._matrix = torch.stack([flow.matrix() for flow in flows]).detach()  # type: ignore[operator]
        self._stacks: dict[tuple[int, ...], tuple[Tensor, Tensor]] = {}
        self._shift = torch.stack([m @ flow.t.detach() for m, flow in zip(self._matrix, flows, strict=True)])  # type: ignore[operator]
        log_scale = torch.stack([flow.log_scale.detach().mean() for flow in flows])  # type: ignore[operator]
        self._constant = -log_scale - 0.5 * math.log(2.0 * math.pi)

    @torch.inference_mode()
    def score(self, mel: Tensor, conversion: Conversion, chosen: Sequence[int]) -> list[Hypothesis]:
        """Return the hypotheses of one conversion with the chosen densities; none where it is refuted.

        Args:
            mel: as it was given, (n_mels, frames).
            conversion: of the values.
            chosen: densities by their index.
        """
        if conversion.refuted(mel):
            return []
        found = []
        for like in _alike(conversion, chosen):
            mean, deviation = self.model.mean[like[0]], self.model.deviation[like[0]]
            x = conversion.back(mel, mean, deviation)
            starts = window_starts(x, self.model.config, self.true_floor)
            if len(starts) < FEWEST:
                continue
            windows = windows_at(x, starts, self.model.config)
            if not conversion.plain and float(windows.std()) < LIVELY:
                continue
            log_det = conversion.log_det(windows.clamp_min(self.true_floor), deviation)
            densities = self._densities(windows, like)
            found += [Hypothesis(conversion, k, p + log_det, p) for k, p in zip(like, densities, strict=True)]
        return found

    def _stacked(self, chosen: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Return matrices (D, k D) and shifts (k D,) of densities side by side, so that one product does for all."""
        if chosen not in self._stacks:
            matrix = self._matrix[list(chosen)].flatten(0, 1).T.contiguous()
            self._stacks[chosen] = matrix, self._shift[list(chosen)].flatten()
        return self._stacks[chosen]

    def _densities(self, windows: Tensor, chosen: Sequence[int]) -> list[float]:
        """Return the mean log-density of windows (N, D) under each chosen density, in nats per value."""
        found: dict[int, float] = {}
        for group in self._groups:
            inside = [k for k in group if k in chosen]
            if not inside:
                continue
            floor = self.floors[inside[0]]
            lost = float((windows < floor - SLACK).float().mean())
            x = windows.clamp_min(floor)
            matrix, shift = self._stacked(tuple(inside))
            z = (x @ matrix - shift).view(len(x), len(inside), -1)
            scores = self._constant[inside] - 0.5 * z.square().mean(dim=(0, 2)) - LOST * lost
            found |= dict(zip(inside, scores.tolist(), strict=True))
        return [found[k] for k in chosen]


def _alike(conversion: Conversion, chosen: Sequence[int]) -> list[list[int]]:
    """Return the chosen densities in groups for which the conversion does the same."""
    return [[k] for k in chosen] if conversion.cause == "statistics" else [list(chosen)]


def window_starts(mel: Tensor, config: GuardConfig, floor: float) -> Tensor:
    """Return the first frames (N,) of windows with sound, at most `config.windows`, spread evenly over the mel.

    Args:
        mel: natural logarithms (n_mels, frames).
        config: shape and number of windows.
        floor: the smallest value.
    """
    if mel.shape[1] < config.span:
        return torch.zeros(0, dtype=torch.long)
    loudest = F.max_pool1d(mel.amax(dim=0)[None], config.span, stride=1)[0]
    heard = torch.nonzero(loudest > floor + HEARD)[:, 0]
    count = min(config.windows, len(heard))
    return heard[torch.from_numpy(np.linspace(0, max(len(heard) - 1, 0), count).astype(np.int64))]


def windows_at(mel: Tensor, starts: Tensor, config: GuardConfig) -> Tensor:
    """Return windows (N, D) of a mel (n_mels, frames), frame after frame."""
    frames = starts[:, None] + torch.tensor(config.offsets)
    return mel.T[frames].flatten(1)
