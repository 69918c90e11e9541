"""The densities of the guard, which measure how typical of speech a mel is."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vocoder.mel.conventions import is_true, layout_of, layouts
from vocoder.models.guard import GuardConfig, GuardModel

LOST = 3.0
"""penalty in nats for a value below the floor; the density sees it at the floor, where it is high"""
SLACK = 0.5
"""nepers by which acoustic models undershoot the floor"""
FEWEST = 4
"""fewest windows needed for a judgement"""
HEARD = 2.5
"""nepers above the floor that a window's loudest band needs, so that silence does not count"""


@dataclass(frozen=True)
class Typicality:
    """How typical of speech a mel is.

    `percent` of true mels are less likely than this one; None if too little of it has sound. `unlikely`: it is less
    likely than any true mel. `shuffled`: true frames in random order explain it better.
    """

    percent: float | None
    unlikely: bool = False
    shuffled: bool = False


class Densities:
    """Scores mels under all densities of a model with one matrix product."""

    def __init__(self, model: GuardModel) -> None:
        self.model, self.names = model, model.config.densities
        self.floor = layouts()[layout_of(self.names[0])].floor
        self._true = np.array([is_true(name) for name in self.names])
        flows = model.densities
        matrix = torch.stack([flow.matrix() for flow in flows]).detach()  # type: ignore[operator]
        shift = torch.stack([m @ flow.t.detach() for m, flow in zip(matrix, flows, strict=True)])  # type: ignore[operator]
        self._matrix, self._shift = matrix.flatten(0, 1).T.contiguous(), shift.flatten()
        log_scale = torch.stack([flow.log_scale.detach().mean() for flow in flows])  # type: ignore[operator]
        self._constant = -log_scale - 0.5 * math.log(2.0 * math.pi)

    @torch.inference_mode()
    def score(self, mel: Tensor) -> Tensor | None:
        """Return the mean log-density (K,) in nats per value of a mel's windows, or None if too few have sound.

        The mel (n_mels, frames) holds natural logarithms.
        """
        windows = windows_of(mel, self.model.config, self.floor)
        if len(windows) < FEWEST:
            return None
        lost = float((windows < self.floor - SLACK).float().mean())
        z = (windows.clamp_min(self.floor) @ self._matrix - self._shift).view(len(windows), len(self.names), -1)
        return self._constant - 0.5 * z.square().mean(dim=(0, 2)) - LOST * lost

    def typicality(self, mel: Tensor) -> Typicality:
        """Judge a mel of natural logarithms (n_mels, frames)."""
        scored, model = self.score(mel), self.model
        if scored is None:
            return Typicality(None)
        scores = scored.numpy()
        density = scores[self._true].max()
        percent = float((model.percentiles.numpy() < density).mean(dtype=np.float32) * np.float32(100.0))
        shuffled = bool((scores[~self._true] > density + model.margin.numpy()).any())
        return Typicality(percent, bool(density < model.lowest.numpy()), shuffled)


def windows_of(mel: Tensor, config: GuardConfig, floor: float) -> Tensor:
    """Return up to `config.windows` windows (N, D) with sound, spread evenly over a mel (n_mels, frames)."""
    frames, loud = mel.numpy().T, mel.numpy().max(axis=0) > floor + HEARD
    places = max(mel.shape[1] - config.offsets[-1], 0)
    heard = np.flatnonzero(sum(loud[first : first + places] for first in range(config.offsets[-1] + 1)))
    count = min(config.windows, len(heard))
    starts = heard[np.linspace(0, max(len(heard) - 1, 0), count).astype(np.int64)]
    windows = frames[starts[:, None] + np.array(config.offsets)]
    return torch.from_numpy(windows.reshape(count, len(mel) * len(config.offsets)))
