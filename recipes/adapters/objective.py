"""The objective of an adapter: a linear map in closed form, and where that is not enough a network beside it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recipes.adapters.examples import Frames
from training.loop.objective import Batch, Objective, Parts, Phase
from training.model_card import model_card
from vocoder.checkpoint import save_model
from vocoder.config import to_dict
from vocoder.mel.config import MelConfig
from vocoder.models.adapter import AdapterModel

QUIET_NATS, QUIET_WEIGHT = 7.0, 0.3
"""bands so far below the loudest of their frame are hardly heard; their errors have this weight"""


class AdapterObjective(Objective):
    """Error of frames in nats, less where a frame is quiet. The linear map of least squares is the start.

    A batch holds `windows` (B, taps, bands) of the mels that go in and `frames` (B, n_mels) of those that come out.
    """

    model: AdapterModel

    def __init__(self, model: AdapterModel, source: MelConfig, fitted: Frames, ridge: float) -> None:
        super().__init__(model, source)
        self.fitted, self.ridge = fitted, ridge

    def phases(self) -> tuple[Phase, ...]:
        """Return the update of map and network together; none for a map alone, whose closed form is the best."""
        return super().phases() if self.model.config.hidden else ()

    def initialise(self, batches: Iterable[Batch]) -> None:
        """Fit the linear map; the network adds nothing to it yet."""
        closed_form(self.model, self.fitted, self.ridge)
        if self.model.config.hidden:
            last = self.model.layers[-1]
            torch.nn.init.zeros_(last.weight)  # type: ignore[arg-type]
            torch.nn.init.zeros_(last.bias)  # type: ignore[arg-type]

    def parts(self, batch: Batch, step: int) -> Parts:
        """Return the mean error in nats, less where a frame is quiet."""
        frames = batch["frames"]
        error = torch.nn.functional.smooth_l1_loss(self.model(batch["windows"]), frames, reduction="none", beta=0.1)
        weight = torch.where(_heard(frames), 1.0, QUIET_WEIGHT)
        return {"error": (1.0, (error * weight).sum() / weight.sum())}

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        """Return the mean absolute error in nats of the bands that are heard."""
        frames = batch["frames"]
        return {"score": (self.model(batch["windows"]) - frames).abs()[_heard(frames)].mean()}

    def export(self, directory: Path, provenance: dict[str, Any]) -> None:
        """Write the adapter's directory, in float16."""
        origin = {name: value for name, value in provenance.items() if name != "training"}
        parameters = sum(p.numel() for p in self.model.parameters())
        card = model_card(self.mel_config.name, "adapter", parameters, to_dict(self.mel_config), origin, {})
        save_model(directory, self.model, self.mel_config, provenance, None, torch.float16, card)


def _heard(frames: Tensor) -> Tensor:
    return frames >= frames.amax(dim=1, keepdim=True) - QUIET_NATS


@torch.no_grad()
def closed_form(model: AdapterModel, data: Frames, ridge: float) -> None:
    """Set the inputs' statistics, and the linear map of least squares that `ridge` keeps small."""
    flat = data.windows.flatten(0, 1)
    model.mean.copy_(flat.mean(dim=0))
    model.deviation.copy_(flat.std(dim=0).clamp_min(1e-3))
    inputs, count = model.config.inputs + 1, len(data.frames)
    gram = torch.zeros(inputs, inputs, dtype=torch.float64)
    moment = torch.zeros(inputs, data.frames.shape[1], dtype=torch.float64)
    for windows, frames in zip(torch.split(data.windows, 4096), torch.split(data.frames, 4096), strict=True):
        x = torch.nn.functional.pad(model.normalised(windows), (0, 1), value=1.0).double()
        gram += x.T @ x
        moment += x.T @ frames.double()
    penalty = torch.full((inputs,), ridge * count, dtype=torch.float64)
    penalty[-1] = 0.0
    weights = torch.linalg.solve(gram + penalty.diag(), moment).T
    model.linear.weight.copy_(weights[:, :-1])
    model.linear.bias.copy_(weights[:, -1])
