"""How typical of speech a mel is: its likelihood under densities of true mels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vocoder.guard.conventions import is_true, layout_of, layouts
from vocoder.models.guard import GuardConfig, GuardModel

LOST = 3.0
"""nats that a value below the floor costs, because the density sees it at the floor, where it is high"""
SLACK = 0.5
"""nats by which acoustic models undershoot the floor"""
FEWEST = 4
"""fewest windows that suffice"""
HEARD = 2.5
"""nats above the floor that the loudest band of a window needs, so that silence does not count"""


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
    if mel.shape[1] < config.span:
        return torch.zeros(0, dtype=torch.long)
    loudest = F.max_pool1d(mel.amax(dim=0)[None], config.span, stride=1)[0]
    heard = torch.nonzero(loudest > floor + HEARD)[:, 0]
    count = min(config.windows, len(heard))
    return heard[torch.from_numpy(np.linspace(0, max(len(heard) - 1, 0), count).astype(np.int64))]


def windows_at(mel: Tensor, starts: Tensor, config: GuardConfig) -> Tensor:
    """Return windows (N, D) of a mel (n_mels, frames), frame by frame."""
    frames = starts[:, None] + torch.tensor(config.offsets)
    return mel.T[frames].flatten(1)
