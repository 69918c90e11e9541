"""Losses on a vocoder's samples and their weights, the same for every kind of run."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from training.critics.adversary import Adversary
from training.critics.spectrogram import CriticConfig
from training.data.mel_variation import BlurConfig
from training.loop.objective import Batch, Parts
from training.loop.processes import multiplies_bfloat16
from training.losses.spectral import MultiResolutionSTFT, MultiScaleMel
from training.run_config import COUNT, NOT_NEGATIVE, POSITIVE, SHARE, check_bounds
from training.runs.recordings import Recordings
from vocoder.config import ConfigError
from vocoder.correction.correction import Correction
from vocoder.mel.config import MelConfig


@dataclass(frozen=True)
class SampleWeights:
    """Weights and schedule of losses on samples; a weight of 0 switches a loss off."""

    spectral: float = 1.0
    """weight of the multi-resolution magnitudes"""
    mel: float = 1.0
    """weight of the log mels at several scales"""
    corrected_share: float = 1.0
    """share of the steps whose losses and critics hear samples after their correction; in the others, before it"""
    sample_corrections: int | None = None
    """corrections of a sample in training; by default the model's own number, which takes longest"""
    adversarial: float = 0.0
    features: float = 0.5
    """weight of the distance of the critics' features"""
    critic_rate: float = 1.0
    """learning rate of the critics, relative to the model's"""
    critics_from: int = 1500
    """step from which the critics are trained and their judgement counts"""
    critics_every: int = 1
    """critics are asked at every this-many-th step; they take as long as the rest of a step"""
    pitch: float = 0.1
    """weight of the pitch network of a model with a harmonic source"""
    noise: float = 1e-4
    """standard deviation of the noise that keeps the density of empty bands finite"""
    bfloat16: bool = field(default_factory=multiplies_bfloat16)
    """compute the products in bfloat16; by default where the device has instructions for them"""
    critics: CriticConfig = field(default_factory=CriticConfig)
    blur: BlurConfig = field(default_factory=lambda: BlurConfig(share=0.0))
    """how mels are smoothed, as acoustic models smooth them; the recording stays as it is"""

    def __post_init__(self) -> None:
        weights = "spectral mel adversarial features critics_from pitch noise sample_corrections"
        check_bounds(self, **dict.fromkeys(weights.split(), NOT_NEGATIVE))
        check_bounds(self, corrected_share=SHARE, critics_every=COUNT, critic_rate=POSITIVE)
        samples_from: int = getattr(self, "samples_from", 0)
        if self.adversarial and self.critics_from < samples_from:
            raise ConfigError(
                f"critics_from {self.critics_from} must not be before samples_from {samples_from}: "
                "critics judge samples"
            )

    @property
    def dtype(self) -> torch.dtype:
        """The type in which products are computed."""
        return torch.bfloat16 if self.bfloat16 else torch.float32

    def adversary(self, sample_rate: int) -> Adversary | None:
        """Return new critics, or None if the weights ask for none."""
        if not self.adversarial:
            return None
        return Adversary(
            self.critics,
            sample_rate,
            self.dtype,
            rate=self.critic_rate,
            first=self.critics_from,
            every=self.critics_every,
        )


class SampleLosses(Recordings):
    """Compare samples with recordings, before and after their correction."""

    def __init__(self, mel_config: MelConfig, corrections: int) -> None:
        super().__init__(mel_config)
        self.correction = Correction(mel_config, corrections)
        self.stft = MultiResolutionSTFT()
        self.mels = MultiScaleMel(mel_config.sample_rate)

    def parts(
        self,
        x_hat: Tensor,
        x: Tensor,
        mel: Tensor,
        batch: Batch,
        weights: SampleWeights,
        step: int,
        adversary: Adversary | None,
    ) -> Parts:
        """Return weight and value of each loss on a sample that is on at this step."""
        corrected = float(torch.rand(())) < weights.corrected_share
        count = weights.sample_corrections if corrected else 0
        x_hat, x = self.seen(self.correction.with_count(count)(x_hat, mel), batch), self.seen(x, batch)
        parts: Parts = {}
        if weights.spectral:
            parts["spectral"] = weights.spectral, self.stft(x_hat, x)
        if weights.mel:
            parts["mel"] = weights.mel, self.mels(x_hat, x)
        if adversary is not None and adversary.asked(step):
            adversarial, features = adversary.judge(x_hat, x)
            parts |= {"adversarial": (weights.adversarial, adversarial), "features": (weights.features, features)}
        return parts

    def distances(self, x_hat: Tensor, x: Tensor, mel: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return what validation measures of a sample; the score is the spectral distance after its correction.

        Arguments are those of `parts`.
        """
        corrected, x = self.seen(self.correction(x_hat, mel), batch), self.seen(x, batch)
        spectral, uncorrected = self.stft(corrected, x), self.stft(self.seen(x_hat, batch), x)
        distances = {"spectral": spectral, "mel": self.mel_distance(corrected, x)}
        return distances | {"uncorrected": uncorrected, "score": spectral}

    def mel_distance(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """Return the mean absolute distance of the mels of audio (B, T), in nepers."""
        distance: Tensor = (self.mel(x_hat) - self.mel(x)).abs()
        return distance.mean()
