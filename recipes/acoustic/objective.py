"""What the acoustic model is fitted by: the mean absolute difference of mels, and of prosody where it predicts it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from recipes.acoustic.model import AcousticModel, save_acoustic
from training.loop.objective import Batch, Objective, Parts
from vocoder.mel.config import MelConfig

_PROSODY_WEIGHT = 0.3


class AcousticObjective(Objective):
    """L1 of the mel in nats, plus a third of the squared error of each phoneme's pitch, voicing and level.

    While it learns, the decoder gets the true prosody; the score is of the mel with the predicted one.
    """

    model: AcousticModel

    def __init__(self, model: AcousticModel, mel_config: MelConfig, settings: dict[str, object]) -> None:
        super().__init__(model, mel_config)
        self.settings = settings

    def initialise(self, batches: Iterable[Batch]) -> None:
        """Take mean and spread of each band from the batches."""
        frames = torch.cat([batch["mel"].transpose(1, 2)[batch["mask"] > 0] for batch in batches])
        self.model.centre.copy_(frames.mean(dim=0))
        self.model.spread.copy_(frames.std(dim=0))

    def samples(self, batch: Batch) -> int:
        """Return how many frames a batch has."""
        return batch["mask"].numel()

    def parts(self, batch: Batch, step: int) -> Parts:
        """Return weight and value of both losses."""
        difference, prosody = self._errors(batch, batch["prosody"])
        return {"mel": (1.0, difference), "prosody": (_PROSODY_WEIGHT, prosody)}

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        """Return the L1 of the mel as it is predicted, which is the score, and the error of the prosody."""
        difference, prosody = self._errors(batch, None)
        return {"mel": difference, "prosody": prosody, "score": difference}

    def export(self, directory: Path, provenance: dict[str, Any]) -> None:
        """Write the model's directory."""
        save_acoustic(directory, self.model, {**self.settings, "provenance": provenance})

    def _errors(self, batch: Batch, prosody: Tensor | None) -> tuple[Tensor, Tensor]:
        seen = (batch[name] for name in ("tokens", "style", "index", "places", "mask"))
        mel, predicted = self.model(*seen, prosody)
        mask = batch["mask"][:, None]
        difference = ((mel - batch["mel"]).abs() * mask).sum() / (mask.sum() * mel.shape[1])
        if predicted is None:
            return difference, difference.new_zeros(())
        spoken = (batch["tokens"] != self.model.config.tokens)[:, None].float()
        errors = F.mse_loss(predicted.float(), batch["prosody"], reduction="none") * self._told(batch["prosody"])
        return difference, (errors * spoken).sum() / (spoken.sum() * predicted.shape[1])

    @staticmethod
    def _told(prosody: Tensor) -> Tensor:
        """Return (B, 3, N) which values count: a phoneme without voice has no pitch."""
        counts = torch.ones_like(prosody)
        counts[:, 0] = (prosody[:, 1] > 0).to(counts.dtype)
        return counts
