"""`python -m recipes pitch`: fit the network that estimates the pitch from the mel, by itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from recipes.pitch.disturbance import DisturbanceConfig
from recipes.pitch.objective import PitchObjective, PitchVariation
from recipes.pitch.segments import PitchSegments
from training.corpora.manifest import Manifest
from training.data.datasets import SegmentDataset, held_out_segments
from training.loop.objective import Objective
from training.runs.corpus_run import CorpusRun, command_of
from training.start.pitch import PitchModel, load_pitch
from vocoder.mel.config_file import load_mel_config


@dataclass(frozen=True)
class PitchRun(CorpusRun):
    """Everything that a run of `python -m recipes pitch` depends on."""

    model: PitchModel = field(default_factory=PitchModel)
    variation: PitchVariation = field(default_factory=PitchVariation)
    disturbance: DisturbanceConfig = field(default_factory=DisturbanceConfig)
    reuse: int = 4
    """epochs that have the same segments"""
    start_from: str | None = None
    """directory of the network whose weights the run starts from"""

    def objective(self) -> PitchObjective:
        """Return the objective."""
        objective = PitchObjective(self.model, load_mel_config(self.mel), self.variation)
        if self.start_from is not None:
            objective.model.load_state_dict(load_pitch(self.start_from).state_dict())
        return objective

    def training_set(self, manifest: Manifest, objective: Objective) -> PitchSegments:
        """Return disturbed segments, labelled as they sound."""
        segments = SegmentDataset(manifest, "train", self.segments)
        return PitchSegments(segments, load_mel_config(self.mel), self.disturbance, self.reuse)

    def validation_set(self, manifest: Manifest, objective: Objective) -> PitchSegments:
        """Return such segments of the held-out split."""
        segments = held_out_segments(manifest, self.segments, self.validation_items)
        return PitchSegments(segments, load_mel_config(self.mel), self.disturbance)


add_arguments, run = command_of(PitchRun)
