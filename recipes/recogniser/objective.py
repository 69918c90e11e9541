"""The objective of the recogniser behind the perceptual loss."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from training.loop.objective import Batch, Objective, Parts
from training.losses.pitch import mean_where
from training.losses.recogniser import FrameRecogniser, save_recogniser
from training.runs.recordings import Recordings
from vocoder.mel.config import MelConfig

__all__ = ["RecogniserObjective"]


class RecogniserObjective(Objective):
    """Cross-entropy of the cluster, the pitch and the voicing of each frame, in nats.

    Batches are those of `Recordings`. Audio is heard through a little noise of random strength, so that its quietest
    bands do not decide.
    """

    model: FrameRecogniser

    def __init__(self, model: FrameRecogniser, mel_config: MelConfig) -> None:
        super().__init__(model, mel_config)
        self.recordings = Recordings(mel_config)
        self.unscored = 2 * self.recordings.margin
        self.wants_pitch = True

    def initialise(self, batches: Iterable[Batch]) -> None:
        """Cluster the mel frames of the batches."""
        mels = [self.recordings.own_mel(batch) for batch in batches]
        self.model.fit_classes(torch.cat([mel.transpose(1, 2).flatten(0, 1) for mel in mels]))

    def parts(self, batch: Batch, step: int) -> Parts:
        """Return the three cross-entropies."""
        x = self.recordings.audio(batch)
        strength = 10 ** (-4 + 1.5 * torch.rand(len(x), 1, device=x.device))
        parts, _ = self._entropies(x + strength * torch.randn_like(x), batch)
        return {name: (1.0, value) for name, value in parts.items()}

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        """Return the cross-entropies and how often the likeliest class is right."""
        parts, accuracy = self._entropies(self.recordings.audio(batch), batch)
        return parts | {"accuracy": accuracy, "score": sum(parts.values(), accuracy.new_zeros(()))}

    def export(self, directory: Path, provenance: dict[str, Any]) -> None:
        """Write the recogniser's directory."""
        save_recogniser(directory, self.model)

    def _entropies(self, x: Tensor, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
        """Return the cross-entropies of the frames of audio (B, T), and how often the likeliest class is right."""
        classes, pitch, voicing = self.model(x)
        frames, config = classes.shape[2], self.model.config.pitch
        target = self.model.classes_of(self.recordings.own_mel(batch)[:, :, :frames])
        f0, voiced = batch["f0"][:, :frames], batch["f0"][:, :frames] > 0
        position = torch.log(f0.clamp_min(1.0) / config.f0_min) / torch.log(x.new_tensor(config.f0_max / config.f0_min))
        bins = (position * (config.bins - 1)).round().long().clamp(0, config.bins - 1)
        parts = {
            "classes": F.cross_entropy(classes, target),
            "pitch": mean_where(voiced, F.cross_entropy(pitch, bins, reduction="none")),
            "voicing": F.binary_cross_entropy_with_logits(voicing, voiced.to(x.dtype)),
        }
        return parts, (classes.argmax(dim=1) == target).to(x.dtype).mean()
