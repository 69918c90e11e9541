"""`python -m recipes pitch`: fit a stand-alone network that estimates pitch from the mel."""

import math
from dataclasses import dataclass, field, replace
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from recipes.pitch.disturbance import DisturbanceConfig, disturbed
from training.corpora.manifest import Manifest
from training.corpora.pitch import track_pitch
from training.data.augment import BlurConfig, between, blurred
from training.data.datasets import MappedSegments, segments_of
from training.loop.objective import Batch, Objective, Parts
from training.losses.pitch import mean_where, pitch_loss
from training.run_config import command_of
from training.runs.corpus_run import CorpusRun, train
from training.start.inheritance import WITH_PITCH, PitchModel, PitchModelConfig
from vocoder.config import Checked, Range
from vocoder.mel.config import MelConfig
from vocoder.mel.config_file import load_mel_config
from vocoder.mel.spectrogram import MelSpectrogram

_LOWEST = 50.0  # Hz, as played: slowed voices are lower than recorded ones
_LOUDEST = 0.15  # root mean square of the loudest frame of prepared recordings, which have 0.06 on the whole
VOICING = 2.0
"""weight of the voicing relative to the pitch"""


@dataclass(frozen=True)
class PitchVariation(Checked):
    """Variation of mels beyond that of the sound. Raises ConfigError if gain_db is not a range."""

    gain_db: Annotated[Range, (-100, 100)] = (-20.0, 10.0)
    blur: BlurConfig = field(default_factory=BlurConfig)


class PitchObjective(Objective):
    """Cross-entropy of each frame's pitch and voicing, on true mels and on mels like those of acoustic models.

    A batch holds `mel` (B, n_mels, frames) and `f0` (B, frames).
    """

    model: PitchModel
    families = WITH_PITCH

    def __init__(self, config: PitchModelConfig, mel_config: MelConfig, variation: PitchVariation) -> None:
        super().__init__(PitchModel(config), mel_config)
        self.variation = variation

    def samples(self, batch: Batch) -> int:
        """Return the number of samples that a batch's frames represent."""
        return batch["f0"].numel() * self.mel_config.hop_length

    def parts(self, batch: Batch, step: int) -> Parts:
        """Return the cross-entropy."""
        return {"pitch": (1.0, pitch_loss(self.model.pitch, self._varied(batch["mel"]), batch["f0"], VOICING))}

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        """Return the loss, the accuracy of voicing, and the share of pitches wrong by more than 100 cents."""
        mel, f0, net = batch["mel"], batch["f0"], self.model.pitch
        found, voicing = net.pitch(mel)
        both = (voicing > 0.5) & (f0 > 0)
        off = (1200 * torch.log2(found / f0.clamp_min(1.0))).abs() > 100
        loss = pitch_loss(net, mel, f0, VOICING)
        right = ((voicing > 0.5) == (f0 > 0)).to(loss.dtype).mean()
        blurry = pitch_loss(net, blurred(mel, replace(self.variation.blur, share=1.0)), f0, VOICING)
        return {"score": loss, "blurred": blurry, "voicing": right, "off": mean_where(both, off.to(loss.dtype))}

    def _varied(self, mel: Tensor) -> Tensor:
        """Return mels at random levels, some of them blurred like those of acoustic models."""
        gain = between(self.variation.gain_db, torch.rand(len(mel), 1, 1, device=mel.device))
        louder = (mel + self.mel_config.power * math.log(10.0) / 20.0 * gain).clamp_min(math.log(self.mel_config.floor))
        return blurred(louder, self.variation.blur)


@dataclass(frozen=True)
class PitchRun(CorpusRun):
    """The configuration of `python -m recipes pitch`."""

    model: PitchModelConfig = field(default_factory=PitchModelConfig)
    variation: PitchVariation = field(default_factory=PitchVariation)
    disturbance: DisturbanceConfig = field(default_factory=DisturbanceConfig)
    reuse: int = 4
    """number of epochs that share their segments"""

    def objective(self) -> PitchObjective:
        """Return the objective."""
        return PitchObjective(self.model, load_mel_config(self.mel), self.variation)

    def items(self, manifest: Manifest, objective: Objective, held_out: bool) -> MappedSegments:
        """Return disturbed segments with labels of the disturbed sound.

        Tracking the pitch takes longer than a training step, so several epochs share their segments; the loss still
        varies them.
        """
        segments = segments_of(manifest, self.segments, self.validation_items if held_out else 0)
        return MappedSegments(segments, self._item, 1 if held_out else self.reuse)

    def _item(self, x: Tensor, rng: np.random.Generator) -> dict[str, Tensor]:
        """Return `mel` (n_mels, frames) and `f0` (frames,) in Hz, 0 if unvoiced, of a disturbed segment."""
        mel, settings = load_mel_config(self.mel), self.segments
        y = disturbed(x.numpy(), mel.sample_rate, self.disturbance, rng)
        frames = settings.segment_length // settings.hop_length
        inner = y[settings.margin : len(y) - settings.margin]
        f0 = track_pitch(inner, mel.sample_rate, high_pass=_LOWEST, loudest=_LOUDEST)[:frames]
        heard = MelSpectrogram(mel, precise=False).frame(torch.from_numpy(y)[None])[0, :, :frames]
        return {"mel": heard.contiguous(), "f0": torch.from_numpy(f0)}


add_arguments, run = command_of(PitchRun, train)
