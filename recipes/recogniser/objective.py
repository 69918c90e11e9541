"""The objective of the recogniser behind the perceptual loss."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.distil.recogniser import Recogniser, save_recogniser
from training.loop.objective import Batch, Objective, Phase
from training.losses.pitch import mean_where
from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import MelSpectrogram

__all__ = ["RecogniserObjective"]


class RecogniserObjective(Objective):
    """Cross-entropy of the cluster, the pitch and the voicing of each frame, in nats.

    A batch holds `x` (B, margin + T + margin) with margin = n_fft / 2 of the mel. Audio is heard through a little noise
    of random strength, so that its quietest bands do not decide.
    """

    def __init__(self, model: Recogniser, mel_config: MelConfig) -> None:
        super().__init__()
        self.model = model
        self.mel_config = mel_config
        self.mel = MelSpectrogram(mel_config, precise=False)

    @property
    def wants_pitch(self) -> bool:
        """Return whether batches need pitch labels: always."""
        return True

    def phases(self) -> tuple[Phase, ...]:
        """Return the one update."""
        return (Phase("model", tuple(self.model.parameters())),)

    def samples(self, batch: Batch) -> int:
        """Return the samples of a batch without its margins."""
        return batch["x"].shape[0] * (batch["x"].shape[1] - self.mel_config.n_fft)

    def initialise(self, batches: Iterable[Batch]) -> None:
        """Cluster the mel frames of the batches."""
        self.model.fit_classes(torch.cat([self._mel(batch).transpose(1, 2).flatten(0, 1) for batch in batches]))

    def loss(self, phase: str, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]] | None:
        """Return the sum of the three cross-entropies."""
        x = self._audio(batch)
        strength = 10 ** (-4 + 1.5 * torch.rand(len(x), 1, device=x.device))
        parts, _ = self._losses(x + strength * torch.randn_like(x), batch)
        return sum(parts.values(), x.new_zeros(())), {name: value.detach() for name, value in parts.items()}

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        """Return the cross-entropies and how often the likeliest class is right."""
        parts, accuracy = self._losses(self._audio(batch), batch)
        return parts | {"accuracy": accuracy, "score": sum(parts.values(), accuracy.new_zeros(()))}

    def averaged(self) -> nn.Module:
        """Return the model."""
        return self.model

    def export(self, directory: Path, provenance: dict[str, Any]) -> None:
        """Write the recogniser's directory."""
        save_recogniser(directory, self.model)

    def _losses(self, x: Tensor, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
        classes, pitch, voicing = self.model(x)
        frames, config = classes.shape[2], self.model.config.pitch
        target = self.model.classes_of(self._mel(batch)[:, :, :frames])
        f0, voiced = batch["f0"][:, :frames], batch["f0"][:, :frames] > 0
        position = torch.log(f0.clamp_min(1.0) / config.f0_min) / torch.log(x.new_tensor(config.f0_max / config.f0_min))
        bins = (position * (config.bins - 1)).round().long().clamp(0, config.bins - 1)
        parts = {
            "classes": F.cross_entropy(classes, target),
            "pitch": mean_where(voiced, F.cross_entropy(pitch, bins, reduction="none")),
            "voicing": F.binary_cross_entropy_with_logits(voicing, voiced.to(x.dtype)),
        }
        return parts, (classes.argmax(dim=1) == target).to(x.dtype).mean()

    def _audio(self, batch: Batch) -> Tensor:
        margin = self.mel_config.n_fft // 2
        return batch["x"][:, margin:-margin]

    def _mel(self, batch: Batch) -> Tensor:
        frames = self._audio(batch).shape[1] // self.mel_config.hop_length
        return self.mel.frame(batch["x"])[:, :, :frames]
