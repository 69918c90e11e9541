"""`python -m recipes acoustic-train`: train the acoustic model on a folder of speech with durations."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from accelerate.utils import set_seed
from torch import Tensor
from torch.nn import functional as F

from recipes.acoustic.items import SpeechItems, example_of, parted
from recipes.acoustic.model import FAMILY, AcousticConfig, AcousticModel
from training.loop.objective import Batch, Objective, Parts
from training.loop.processes import announce
from training.loop.trainer import fit
from training.loop.trainer_config import RunConfig
from training.provenance import surroundings
from training.run_config import command_of
from vocoder.config import Count, Rules
from vocoder.mel.config_file import load_mel_config

_PROSODY_WEIGHT = 0.3
_VALIDATION_FRAMES = 512
"""frames of each held-out utterance for validation, 5.9 s"""


class AcousticObjective(Objective):
    """L1 of the mel in nats, plus a third of the squared error of each phoneme's pitch, voicing and level.

    While it learns, the decoder gets the true prosody; the score is of the mel with the predicted one.
    """

    model: AcousticModel
    families = FAMILY

    def initialise(self, batches: Iterable[Batch]) -> None:
        """Set mean and spread of each band from the batches."""
        frames = torch.cat([batch["mel"].transpose(1, 2)[batch["mask"] > 0] for batch in batches])
        self.model.centre.copy_(frames.mean(dim=0))
        self.model.spread.copy_(frames.std(dim=0))

    def parts(self, batch: Batch, step: int) -> Parts:
        """Return weight and value of both losses."""
        difference, prosody = self._errors(batch, batch["prosody"])
        return {"mel": (1.0, difference), "prosody": (_PROSODY_WEIGHT, prosody)}

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        """Return the L1 of the predicted mel, which is the score, and the error of the prosody."""
        difference, prosody = self._errors(batch, None)
        return {"mel": difference, "prosody": prosody, "score": difference}

    def _errors(self, batch: Batch, prosody: Tensor | None) -> tuple[Tensor, Tensor]:
        seen = (batch[name] for name in ("tokens", "style", "index", "places", "mask"))
        mel, predicted = self.model(*seen, prosody)
        mask = batch["mask"][:, None]
        difference = ((mel - batch["mel"]).abs() * mask).sum() / (mask.sum() * mel.shape[1])
        if predicted is None:
            return difference, difference.new_zeros(())
        present = (batch["tokens"] != self.model.config.tokens)[:, None].float()
        errors = F.mse_loss(predicted.float(), batch["prosody"], reduction="none") * present
        errors[:, 0] *= batch["prosody"][:, 1] > 0  # unvoiced phonemes have no pitch
        return difference, errors.sum() / (present.sum() * predicted.shape[1])


@dataclass(frozen=True)
class AcousticRun(RunConfig):
    """The configuration of a training run.

    Raises ConfigError if the mel has another number of bands than the model, or a number is out of range.
    """

    speech: str
    """Folder written by `python -m recipes acoustic-speech`."""
    model: AcousticConfig = field(default_factory=AcousticConfig)
    mel: str = "nvidia"
    """Mel preset or mel config file, of a centred mel."""
    folds: int = 12
    """Every n-th utterance is held out from training and can be predicted."""
    held: int = 5
    """Index of the first held-out utterance."""
    frames: Count = 192
    """Number of frames in an item."""
    validation_items: Count = 32

    def _rules(self) -> Rules:
        bands, ours = load_mel_config(self.mel).n_mels, self.model.n_mels
        yield bands == ours, f"{self.mel} has {bands} bands, so model.n_mels must be too, not {ours}"


def train(config: AcousticRun, resume: bool) -> None:
    """Train as configured. Raises ConfigError if the folder has no speech, or too little."""
    mel_config, folder = load_mel_config(config.mel), Path(config.speech)
    kept, aside = parted(folder, config.folds, config.held)
    examples = [example_of(path, mel_config) for path in kept]
    judged = [example_of(path, mel_config) for path in aside[: config.validation_items]]
    frames = sum(example["mel"].shape[1] for example in examples)
    minutes = frames * mel_config.hop_length / mel_config.sample_rate / 60
    announce(f"training on {minutes:.1f} minutes; {len(aside)} utterances are held out")
    set_seed(config.trainer.seed)
    objective = AcousticObjective(AcousticModel(config.model), mel_config)
    sizes = (examples, config.frames), (judged, _VALIDATION_FRAMES)
    sets = (SpeechItems(*size, config.model.tokens, config.trainer.seed) for size in sizes)
    origin = {"speech": folder.name, "folds": config.folds, "held": config.held, **surroundings()}  # for prediction
    fit(config, objective, *sets, provenance=origin, resume=resume)


add_arguments, run = command_of(AcousticRun, train)
