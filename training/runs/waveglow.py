"""`vocoder-train waveglow`: fit a WaveGlow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from training.distil.inheritance import inherit_pitch
from training.distil.pitch_weights import load_pitch
from training.launch import CorpusRun, command_of, started_from
from training.objectives.waveglow import WaveGlowObjective
from training.objectives.waveglow_losses import WaveGlowLosses
from vocoder.loading import model_directory
from vocoder.mel.config_file import load_mel_config
from vocoder.models.waveglow import WaveGlow
from vocoder.models.waveglow_config import WaveGlowConfig

__all__ = ["WaveGlowRun", "add_arguments", "run"]


@dataclass(frozen=True)
class WaveGlowRun(CorpusRun):
    """Everything that a run of `vocoder-train waveglow` depends on."""

    ORIGINS: ClassVar[tuple[str, ...]] = ("start_from", "pitch_from")

    model: WaveGlowConfig = field(default_factory=WaveGlowConfig)
    losses: WaveGlowLosses = field(default_factory=WaveGlowLosses)
    start_from: str | None = None
    """directory or shipped name of the model whose weights the run starts from, to fine-tune it on other voices; and
    whose critics, if they lie beside them and are shaped alike"""
    pitch_from: str | None = None
    """directory of a pitch network, model directory or shipped name, whose pitch network the model starts from"""

    def objective(self) -> WaveGlowObjective:
        """Return the objective, with the critics beside the weights that it starts from, if they are shaped alike."""
        objective = WaveGlowObjective(self._start(), load_mel_config(self.mel), self.losses)
        if self.start_from is not None and objective.adversary is not None:
            objective.adversary.load(model_directory(self.start_from))
        return objective

    def _start(self) -> WaveGlow:
        if self.start_from is None:
            model = WaveGlow(self.model)
        else:
            model = started_from(self.start_from, WaveGlow, self.model, self.pitch_from and "pitch")
        if self.pitch_from is not None:
            inherit_pitch(model, load_pitch(self.pitch_from))
        return model


add_arguments, run = command_of(WaveGlowRun)
