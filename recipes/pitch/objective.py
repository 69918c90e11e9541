"""The objective of a pitch network by itself."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.data.mel_variation import BlurConfig, blurred
from training.loop.objective import Batch, Objective, Parts
from training.losses.pitch import mean_where, pitch_loss
from training.start.pitch import PitchModel, save_pitch
from vocoder.config import ConfigError
from vocoder.layers.source.pitch import PitchNet
from vocoder.mel.config import MelConfig

CENTS = 100.0
"""beyond which a pitch is off"""
VOICING = 2.0
"""weight of the voicing beside the pitch"""


@dataclass(frozen=True)
class PitchVariation:
    """How mels vary beyond the sound itself.

    Raises:
        ConfigError: gain_db is no range.
    """

    gain_db: tuple[float, ...] = (-20.0, 10.0)
    blur: BlurConfig = field(default_factory=BlurConfig)

    def __post_init__(self) -> None:
        if len(self.gain_db) != 2 or self.gain_db[0] > self.gain_db[1]:
            raise ConfigError(f"gain_db must be a range [low, high], not {list(self.gain_db)}")


class PitchObjective(Objective):
    """Cross-entropy of the pitch and the voicing of each frame, on true mels and on such as acoustic models give.

    A batch holds `mel` (B, n_mels, frames) and `f0` (B, frames).
    """

    model: PitchNet

    def __init__(self, settings: PitchModel, mel_config: MelConfig, variation: PitchVariation) -> None:
        super().__init__(PitchNet(settings.n_mels, settings.pitch), mel_config)
        self.settings, self.variation = settings, variation

    def samples(self, batch: Batch) -> int:
        """Return the samples that a batch's frames stand for."""
        return batch["f0"].numel() * self.mel_config.hop_length

    def parts(self, batch: Batch, step: int) -> Parts:
        """Return the cross-entropy."""
        return {"pitch": (1.0, pitch_loss(self.model, self._varied(batch["mel"]), batch["f0"], VOICING))}

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        """Return the loss, the share of right voicing, and that of the pitch off by more than 100 cents."""
        mel, f0 = batch["mel"], batch["f0"]
        found, voicing = self.model.pitch(mel)
        both = (voicing > 0.5) & (f0 > 0)
        off = (1200 * torch.log2(found / f0.clamp_min(1.0))).abs() > CENTS
        loss = pitch_loss(self.model, mel, f0, VOICING)
        right = ((voicing > 0.5) == (f0 > 0)).to(loss.dtype).mean()
        blurry = pitch_loss(self.model, blurred(mel, replace(self.variation.blur, share=1.0)), f0, VOICING)
        return {"score": loss, "blurred": blurry, "voicing": right, "off": mean_where(both, off.to(loss.dtype))}

    def export(self, directory: Path, provenance: dict[str, Any]) -> None:
        """Write the network's directory."""
        save_pitch(directory, self.model, self.settings, provenance)

    def _varied(self, mel: Tensor) -> Tensor:
        """Return mels at other levels, some of them as acoustic models predict them."""
        low, high = self.variation.gain_db
        gain = low + (high - low) * torch.rand(len(mel), 1, 1, device=mel.device)
        louder = (mel + self.mel_config.power * math.log(10.0) / 20.0 * gain).clamp_min(math.log(self.mel_config.floor))
        return blurred(louder, self.variation.blur)
