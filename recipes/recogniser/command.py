"""`python -m recipes recogniser`: fit the network behind the perceptual loss."""

from __future__ import annotations

from dataclasses import dataclass, field

from recipes.recogniser.objective import RecogniserObjective
from training.losses.recogniser import FrameRecogniser, FrameRecogniserConfig
from training.runs.corpus_run import CorpusRun, command_of
from vocoder.mel.config_file import load_mel_config

__all__ = ["RecogniserRun", "add_arguments", "run"]


@dataclass(frozen=True)
class RecogniserRun(CorpusRun):
    """Everything that a run of `python -m recipes recogniser` depends on."""

    model: FrameRecogniserConfig = field(default_factory=FrameRecogniserConfig)

    def objective(self) -> RecogniserObjective:
        """Return the objective."""
        return RecogniserObjective(FrameRecogniser(self.model), load_mel_config(self.mel))


add_arguments, run = command_of(RecogniserRun)
