"""The objective of a pitch network by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from training.data.mel_variation import BlurConfig, blurred
from training.distil.pitch_weights import PitchModel, save_pitch
from training.loop.objective import Batch, Objective, Phase
from training.losses.pitch import mean_where, pitch_loss
from vocoder.layers.source.pitch import PitchNet
from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import MelSpectrogram

__all__ = ["PitchObjective"]

CENTS = 100.0
"""beyond which a pitch is off"""


class PitchObjective(Objective):
    """Cross-entropy of the pitch and the voicing of each frame, on true mels and on such as acoustic models give.

    A batch holds `x` (B, margin + T + margin) with margin = n_fft / 2 of the mel, and `f0` (B, frames).

    Args:
        model: what the network's file says of it.
        mel_config: the mel contract.
        blur: how mels vary.
    """

    def __init__(self, model: PitchModel, mel_config: MelConfig, blur: BlurConfig) -> None:
        super().__init__()
        self.model, self.mel_config, self.blur = model, mel_config, blur
        self.net = PitchNet(model.n_mels, model.pitch)
        self.mel = MelSpectrogram(mel_config, precise=False)

    @property
    def wants_pitch(self) -> bool:
        """Return whether batches need pitch labels: always."""
        return True

    def phases(self) -> tuple[Phase, ...]:
        """Return the one update."""
        return (Phase("pitch", tuple(self.net.parameters())),)

    def samples(self, batch: Batch) -> int:
        """Return the samples of a batch without its margins."""
        return batch["f0"].numel() * self.mel_config.hop_length

    def loss(self, phase: str, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]] | None:
        """Return the loss and its value."""
        loss = pitch_loss(self.net, blurred(self._mel(batch), self.blur), batch["f0"])
        return loss, {"pitch": loss.detach()}

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        """Return the loss, the share of right voicing, and that of the pitch off by more than 100 cents."""
        mel, f0 = self._mel(batch), batch["f0"]
        found, voicing = self.net.pitch(mel)
        both = (voicing > 0.5) & (f0 > 0)
        off = (1200 * torch.log2(found / f0.clamp_min(1.0))).abs() > CENTS
        loss = pitch_loss(self.net, mel, f0)
        right = ((voicing > 0.5) == (f0 > 0)).to(loss.dtype).mean()
        return {"score": loss, "voicing": right, "off": mean_where(both, off.to(loss.dtype))}

    def averaged(self) -> nn.Module:
        """Return the network."""
        return self.net

    def export(self, directory: Path, provenance: dict[str, Any]) -> None:
        """Write the network's directory."""
        save_pitch(directory, self.net, self.model, provenance)

    def _mel(self, batch: Batch) -> Tensor:
        return self.mel.frame(batch["x"])[:, :, : batch["f0"].shape[1]]
