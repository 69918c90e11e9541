"""`python -m recipes mel-coder`: fit the network that draws mels from a few codes, for training on mels like those."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from training.data.mel_coder import FAMILY, MelCoder, MelCoderConfig
from training.loop.objective import Batch, Parts
from training.run_config import command_of
from training.runs.corpus_run import CorpusRun, train
from training.runs.recordings import RecordingObjective
from vocoder.mel.config_file import load_mel_config


class MelCoderObjective(RecordingObjective):
    """L1 in nats of mels that are drawn from a random number of codes."""

    model: MelCoder
    families = FAMILY

    def initialise(self, batches: Iterable[Batch]) -> None:
        """Take mean and spread of each band from the batches."""
        frames = torch.cat([self._mel(batch).transpose(1, 2).flatten(0, 1) for batch in batches])
        self.model.centre.copy_(frames.mean(dim=0))
        self.model.spread.copy_(frames.std(dim=0))

    def parts(self, batch: Batch, step: int) -> Parts:
        """Return the L1."""
        mel = self._mel(batch)
        return {"mel": (1.0, (self.model.drawn(mel) - mel).abs().mean())}

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        """Return the L1 of a random number of codes, which is the score, and that of the fewest and of all."""
        mel, config = self._mel(batch), self.model.config
        none = mel.new_zeros(len(mel))
        found = {"score": self.model.drawn(mel)}
        found |= {
            name: self.model(mel, none + kept, none) for name, kept in (("few", config.fewest), ("all", config.codes))
        }
        return {name: (drawn - mel).abs().mean() for name, drawn in found.items()}

    def _mel(self, batch: Batch) -> Tensor:
        return self.segments(batch)[1]


@dataclass(frozen=True)
class MelCoderRun(CorpusRun):
    """Everything that a run of `python -m recipes mel-coder` depends on."""

    model: MelCoderConfig = field(default_factory=MelCoderConfig)

    def objective(self) -> MelCoderObjective:
        """Return the objective."""
        return MelCoderObjective(MelCoder(self.model), load_mel_config(self.mel), torch.float32)


add_arguments, run = command_of(MelCoderRun, train)
