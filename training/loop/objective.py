"""The interface between trainer and objective: losses, validation and export."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self, TypeAlias

import torch
from torch import Tensor, nn

from training.critics import Adversary
from vocoder.checkpoint import save_model
from vocoder.mel.config import MelConfig
from vocoder.models.families import FAMILIES, Families

Batch: TypeAlias = dict[str, Tensor]
Parts: TypeAlias = dict[str, tuple[float, Tensor]]
"""weight and value of each loss, by name; losses of weight 0 are only reported"""
Phases: TypeAlias = dict[str, tuple[nn.Parameter, ...]]
"""parameters of each optimiser update of a training step, by name, in order"""


class Objective(nn.Module, ABC):
    """A model with its losses, and the critics or teachers that these need, as one module.

    A checkpoint stores only the module's state. No method may communicate with other processes. The moving average of
    the model is validated and exported. The adversary is updated after the model in each step. `frozen` modules are not
    trained and stay in eval mode. `unscored` is the number of samples per segment that no loss scores, such as the
    margins for the mel. An objective that `wants_pitch` needs pitch labels `f0` in its batches.
    """

    model: nn.Module
    families: Families = FAMILIES
    adversary: Adversary | None

    def __init__(self, model: nn.Module, mel_config: MelConfig, *frozen: nn.Module | None) -> None:
        super().__init__()
        self.model = model
        self.mel_config = mel_config
        self.adversary = None
        self._frozen = tuple(module.requires_grad_(False).eval() for module in frozen if module is not None)
        self.unscored = 0
        self.wants_pitch = False

    @abstractmethod
    def parts(self, batch: Batch, step: int) -> Parts:
        """Return the weight and value of each loss of the model; values are means over the batch."""

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        """Return scalar means over a validation batch; "score" (lower is better) selects the best checkpoint.

        By default these are the losses of the model, and their weighted sum is the score.
        """
        score, values = self._weighted(batch, 0)
        return values | {"score": score}

    def initialise(self, batches: Iterable[Batch]) -> None:
        """Fit data-dependent initial values before step 0 from a few batches of the training set.

        Called without gradients on the main process only; the other processes receive its state.
        """

    def phases(self) -> Phases:
        """Return the updates of a training step in order; no parameter belongs to two of them."""
        critics = {} if self.adversary is None else {"critic": tuple(self.adversary.parameters())}
        return {"model": tuple(self.model.parameters()), **critics}

    def loss(self, phase: str, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]] | None:
        """Return the loss of an update and its parts, or None to skip the phase at this step.

        Skipping must depend only on `step`, so that all processes agree.
        """
        if phase == "critic" and self.adversary is not None:
            loss = self.adversary.loss(step)
            return None if loss is None else (loss, {"critic": loss.detach()})
        return self._weighted(batch, step)

    def _weighted(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum of the losses of the model, and each of them."""
        total = torch.zeros((), device=next(self.model.parameters()).device)
        values = {}
        for name, (weight, value) in self.parts(batch, step).items():
            total, values[name] = total + weight * value, value.detach()
        return total, values

    def samples(self, batch: Batch) -> int:
        """Return the number of audio samples that a batch trains on."""
        return batch["x"].shape[0] * (batch["x"].shape[1] - self.unscored)

    def export(self, directory: Path, provenance: dict[str, Any]) -> None:
        """Write the model directory, with any critics; called on the main process with averaged weights."""
        save_model(directory, self.model, self.mel_config, provenance, families=self.families)
        if self.adversary is not None:
            self.adversary.save(directory)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; frozen networks stay in eval mode."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self
