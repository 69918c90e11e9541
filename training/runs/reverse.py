"""The run of `vocoder-train distill --student reverse`: fit a network to the way back of a WaveGlow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from training.distil.inheritance import inherit_ends, inherit_pitch, inherit_trunk
from training.distil.pitch_weights import load_pitch
from training.launch import CorpusRun
from training.objectives.reverse import ReverseObjective
from training.objectives.reverse_losses import ReverseLosses
from vocoder.checkpoint import load_model
from vocoder.config import ConfigError
from vocoder.loading import model_directory
from vocoder.mel.config_file import load_mel_config
from vocoder.models.reverse import Reverse
from vocoder.models.reverse_config import ReverseConfig
from vocoder.models.waveglow import WaveGlow

__all__ = ["ReverseRun"]


@dataclass(frozen=True)
class ReverseRun(CorpusRun):
    """Everything that a run of `vocoder-train distill --student reverse` depends on."""

    ORIGINS: ClassVar[tuple[str, ...]] = ("teacher", "start_from", "pitch_from")

    teacher: str = "waveglow"
    """directory or shipped name of the WaveGlow whose way back is learnt"""
    model: ReverseConfig = field(default_factory=ReverseConfig)
    losses: ReverseLosses = field(default_factory=ReverseLosses)
    start_from: str | None = None
    """model directory of a reverse student whose weights the run starts from; its head may be another"""
    pitch_from: str | None = None
    """directory of a pitch network, model directory or shipped name, whose pitch network the student starts from"""

    def objective(self) -> ReverseObjective:
        """Return the objective.

        Its critics are those beside the model that it starts from, or else beside its teacher, if shaped alike.

        Raises:
            ConfigError: the teacher is no WaveGlow over frames of this mel.
        """
        teacher = self._teacher() if self.losses.paired else None
        student = Reverse(self.model)
        if self.start_from is not None:
            inherit_trunk(student, self.start_from, pitch=self.pitch_from is None)
        else:
            inherit_ends(student, self._teacher() if teacher is None else teacher)
        if self.pitch_from is not None:
            inherit_pitch(student, load_pitch(self.pitch_from))
        objective = ReverseObjective(student, teacher, load_mel_config(self.mel), self.losses)
        if objective.adversary is not None:
            given = [self.teacher] if self.start_from is None else [self.start_from, self.teacher]
            any(objective.adversary.load(model_directory(reference)) for reference in given)
        return objective

    def _teacher(self) -> WaveGlow:
        """Return the teacher.

        Raises:
            ConfigError: it is another kind of model, or takes mels of another convention.
        """
        checkpoint = load_model(model_directory(self.teacher))
        teacher = checkpoint.model
        if not isinstance(teacher, WaveGlow) or checkpoint.mel_config != load_mel_config(self.mel):
            raise ConfigError(f"the teacher {self.teacher} must be a waveglow that hears mels of preset {self.mel!r}")
        return teacher
