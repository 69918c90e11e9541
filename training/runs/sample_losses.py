"""What runs of vocoders have in common: where they start, losses on samples, and the weights of these."""

from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor, nn

from training.critics.adversary import Adversary
from training.critics.spectrogram import CriticConfig
from training.data.augment import BlurConfig
from training.loop.objective import Batch, Parts
from training.losses.pitch import pitch_loss
from training.losses.spectral import MultiScaleMel, periodicity_loss, stft_loss
from training.runs.corpus_run import CorpusRun
from training.runs.recordings import RecordingLosses, RecordingObjective
from vocoder.config import ConfigError, Count, NotNegative, NotNegativeInt, Share
from vocoder.correction.correction import Correction
from vocoder.loading import model_directory
from vocoder.mel.config import MelConfig


@dataclass(frozen=True)
class SampleWeights(RecordingLosses):
    """Weights and schedule of losses on samples; a weight of 0 switches a loss off."""

    spectral: NotNegative = 1.0
    """weight of the multi-resolution magnitudes"""
    mel: NotNegative = 1.0
    """weight of the log mels at several scales"""
    periodicity: NotNegative = 0.0
    """weight of the autocorrelations of the whole spectrum and of its bands"""
    corrected_share: Share = 1.0
    """share of the steps whose losses and critics hear samples after their correction; in the others, before it"""
    sample_corrections: NotNegativeInt | None = None
    """corrections of a sample in training; by default the model's own number, which takes longest"""
    adversarial: NotNegative = 0.0
    features: NotNegative = 0.5
    """weight of the distance of the critics' features"""
    critics_from: NotNegativeInt = 1500
    """step from which the critics are trained and their judgement counts"""
    critics_every: Count = 1
    """critics are asked at every this-many-th step; they take as long as the rest of a step"""
    pitch: NotNegative = 0.1
    """weight of the pitch network of a model with a harmonic source"""
    critics: CriticConfig = field(default_factory=CriticConfig)
    blur: BlurConfig = field(default_factory=lambda: BlurConfig(share=0.0))
    """how mels are smoothed, as acoustic models smooth them; the recording stays as it is"""

    def __post_init__(self) -> None:
        super().__post_init__()
        samples_from: int = getattr(self, "samples_from", 0)
        if self.adversarial and self.critics_from < samples_from:
            raise ConfigError(
                f"critics_from {self.critics_from} must not be before samples_from {samples_from}: "
                "critics judge samples"
            )

    def adversary(self, sample_rate: int) -> Adversary | None:
        """Return new critics, or None if the weights ask for none."""
        if not self.adversarial:
            return None
        return Adversary(self.critics, sample_rate, self.dtype, first=self.critics_from, every=self.critics_every)


@dataclass(frozen=True)
class SampleRun(CorpusRun):
    """What every run of a vocoder with losses on its samples depends on."""

    start_from: str | None = None
    """model directory or shipped name whose weights, and critics if they are shaped alike, the run starts from; the
    head of a reverse student may be another"""
    pitch_from: str | None = None
    """directory of a pitch network, model directory or shipped name, whose pitch network the model starts from"""


class SampleObjective(RecordingObjective):
    """An objective with losses on samples, which are compared with recordings before and after their correction."""

    model: Any
    teacher: nn.Module | None

    def __init__(
        self, model: Any, mel_config: MelConfig, losses: SampleWeights, teacher: nn.Module | None = None
    ) -> None:
        others = () if teacher is None else (teacher,)
        super().__init__(model, mel_config, losses, losses.adversary(mel_config.sample_rate), others)
        self.teacher = teacher
        self.correction = Correction(mel_config, model.config.corrections)
        self.mels = MultiScaleMel(mel_config.sample_rate)
        self.wants_pitch = model.pitch is not None

    def with_critics_of(self, *references: str | None) -> Self:
        """Take over the critics beside the first of some models that has critics of this shape, if one has."""
        if self.adversary is not None:
            any(self.adversary.load(model_directory(reference)) for reference in references if reference is not None)
        return self

    def pitch_parts(self, mel: Tensor, batch: Batch) -> Parts:
        """Return weight and value of the loss of the pitch network, if the model has one."""
        if self.model.pitch is None:
            return {}
        return {"pitch": (self.losses.pitch, pitch_loss(self.model.pitch, mel, batch["f0"]))}

    def sample_parts(self, x_hat: Tensor, x: Tensor, mel: Tensor, batch: Batch, step: int) -> Parts:
        """Return weight and value of each loss at this step on a sample x_hat (B, T), which is corrected to `mel`."""
        weights: SampleWeights = self.losses
        corrected = float(torch.rand(())) < weights.corrected_share
        count = weights.sample_corrections if corrected else 0
        x_hat, x = self.seen(self.correction.with_count(count)(x_hat, mel), batch), self.seen(x, batch)
        parts: Parts = {}
        if weights.spectral:
            parts["spectral"] = weights.spectral, stft_loss(x_hat, x)
        if weights.mel:
            parts["mel"] = weights.mel, self.mels(x_hat, x)
        if weights.periodicity:
            parts["periodicity"] = weights.periodicity, periodicity_loss(x_hat, x, self.mel_config.sample_rate)
        if self.adversary is not None and self.adversary.asked(step):
            adversarial, features = self.adversary.judge(x_hat, x)
            parts |= {"adversarial": (weights.adversarial, adversarial), "features": (weights.features, features)}
        return parts

    def distances(self, x_hat: Tensor, x: Tensor, mel: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return what validation measures of a sample; the score is the spectral distance after its correction.

        Arguments are those of `sample_parts`. The distance of mels is in nepers.
        """
        corrected, x = self.seen(self.correction(x_hat, mel), batch), self.seen(x, batch)
        spectral, uncorrected = stft_loss(corrected, x), stft_loss(self.seen(x_hat, batch), x)
        mels = (self.mel(corrected) - self.mel(x)).abs().mean()
        return {"spectral": spectral, "mel": mels, "uncorrected": uncorrected, "score": spectral}
