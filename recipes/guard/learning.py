"""Fitting the recogniser of conventions to statistics of mels, and its temperatures to others."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from recipes.guard.writing import Example
from training.loop.batches import FixedItems
from training.loop.objective import Batch, Objective, Parts
from vocoder.layers.recogniser import ConventionNet, mel_statistics, tempo_statistics
from vocoder.mel.config import MelConfig

TEMPO = 0.3
"""standard deviation of the noise, in logarithms, that all changes from frame to frame share: people speak as fast as
they like, so only how changes grow with time may count"""


@dataclass(frozen=True)
class Lesson:
    """Statistics (N, S) of mels in float16, with the indices (N,) of their layouts and encodings."""

    statistics: Tensor
    layout: Tensor
    encoding: Tensor

    def items(self, step: int = 1) -> FixedItems:
        """Return every `step`-th mel as a training item `x` (S,), `layout` and `encoding`."""
        return FixedItems(x=self.statistics[::step], layout=self.layout[::step], encoding=self.encoding[::step])


def lesson_of(examples: Iterable[Example]) -> Lesson:
    """Return the statistics of mels."""
    rows = [(mel_statistics(e.mel.numpy()).astype(np.float16), e.layout, e.encoding) for e in examples]
    statistics, layout, encoding = zip(*rows, strict=True)
    return Lesson(torch.from_numpy(np.stack(statistics)), torch.tensor(layout), torch.tensor(encoding))


class ConventionObjective(Objective):
    """Cross-entropy of the layout and the encoding of mels, in nats, by their statistics `x` (B, S)."""

    model: ConventionNet

    def __init__(self, model: ConventionNet, mel_config: MelConfig, lesson: Lesson) -> None:
        super().__init__(model, mel_config)
        self.lesson = lesson
        tempo = TEMPO * torch.from_numpy(tempo_statistics(model.config.n_mels)).float()
        self.register_buffer("tempo", tempo, persistent=False)

    def initialise(self, batches: Iterable[Batch]) -> None:
        """Normalise the statistics by those of the lesson."""
        some = self.lesson.statistics[torch.randperm(len(self.lesson.layout))[:20000]].float()
        self.model.centre.copy_(some.mean(dim=0))
        self.model.spread.copy_((some.var(dim=0) + self.get_buffer("tempo").square().cpu()).sqrt() + 1e-2)

    def parts(self, batch: Batch, step: int) -> Parts:
        """Return both cross-entropies of mels at other tempos."""
        x = batch["x"].float() + self.get_buffer("tempo") * torch.randn(len(batch["x"]), 1, device=batch["x"].device)
        layout, encoding = self.model(x)
        return {
            "layout": (1.0, F.cross_entropy(layout, batch["layout"])),
            "encoding": (1.0, F.cross_entropy(encoding, batch["encoding"])),
        }

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        """Return the sum of both cross-entropies, and how often the likeliest layout is right."""
        layout, encoding = self.model(batch["x"].float())
        right = (layout.argmax(dim=1) == batch["layout"]).float().mean()
        score = F.cross_entropy(layout, batch["layout"]) + F.cross_entropy(encoding, batch["encoding"])
        return {"score": score, "right": right}

    def export(self, directory: Path, provenance: dict[str, Any]) -> None:
        """Write nothing: the guard's own directory has the weights once it is calibrated."""


@torch.no_grad()
def fit_temperature(net: ConventionNet, lesson: Lesson) -> None:
    """Set the temperatures that are likeliest for mels that the network has not learned from (arXiv 1706.04599)."""
    net.temperature.fill_(1.0)
    layout, encoding = net.eval()(lesson.statistics.float())
    grid = torch.logspace(-1, 1, 81)
    for k, (log_prob, target) in enumerate(((layout, lesson.layout), (encoding, lesson.encoding))):
        losses = torch.stack([F.cross_entropy(log_prob / t, target) for t in grid])
        net.temperature[k] = grid[losses.argmin()]
