"""The common parts of runs over recordings: mels and bandwidth, a vocoder's start, and losses on its samples."""

from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor, nn

from training.critics import Adversary, CriticConfig
from training.data.augment import BlurConfig, blurred, low_pass
from training.data.stores import conditioned
from training.loop.objective import Batch, Objective, Parts
from training.losses.pitch import pitch_loss
from training.losses.spectral import MultiScaleMel, periodicity_loss, stft_loss
from training.runs.corpus_run import CorpusRun
from vocoder.config import Checked, Count, NotNegative, NotNegativeInt, Rules, Share
from vocoder.correction.correction import Correction
from vocoder.layers.stack.wavenet import set_compute_dtype
from vocoder.loading import default_dtype, model_directory
from vocoder.mel.config import MelConfig
from vocoder.mel.config_file import load_mel_config
from vocoder.mel.spectrogram import MelSpectrogram


@dataclass(frozen=True)
class RecordingLosses(Checked):
    """The settings of every loss on recordings."""

    noise: NotNegative = 1e-4
    """standard deviation of noise that keeps the density of empty bands finite"""
    bfloat16: bool = field(
        default_factory=lambda: default_dtype("cuda" if torch.cuda.is_available() else "cpu") == torch.bfloat16
    )
    """compute products in bfloat16; by default if the GPU, or else the processor, has instructions for it, because
    otherwise a step takes ten times as long"""

    @property
    def dtype(self) -> torch.dtype:
        """The type in which products are computed."""
        return torch.bfloat16 if self.bfloat16 else torch.float32


class RecordingObjective(Objective):
    """An objective over recordings.

    A batch has `x` (B, margin + T + margin) with margin = n_fft // 2 samples of context for the mel. It may have `band`
    (B,), the edge in Hz above which a recording is empty, and `mel` with `has_mel` for recordings that came with mels:
    these are the model's input, while losses compare with the recording. Products are computed in the type of `losses`.
    """

    def __init__(self, model: nn.Module, mel_config: MelConfig, losses: Any, *frozen: nn.Module | None) -> None:
        super().__init__(model, mel_config, *frozen)
        self.losses = losses
        self.margin = mel_config.n_fft // 2
        self.unscored = 2 * self.margin
        self.mel = MelSpectrogram(mel_config, precise=False)
        for each in (model, *self._frozen):
            set_compute_dtype(each, losses.dtype)

    def segments(self, batch: Batch, blur: BlurConfig | None = None) -> tuple[Tensor, Tensor]:
        """Return the audio (B, T) and its mel (B, n_mels, T / hop_length), the model's input.

        Mels computed from recordings are smoothed by `blur`; mels that came with recordings are not.
        """
        x = batch["x"][:, self.margin : -self.margin]
        mel = self.mel.frame(batch["x"])[:, :, : x.shape[1] // self.mel_config.hop_length]
        return x, conditioned(mel if blur is None else blurred(mel, blur), batch)

    def limited(self, batch: Batch) -> bool:
        """Return whether any recording's band ends below half of the sample rate."""
        return "band" in batch and not bool((batch["band"] >= self.mel_config.sample_rate / 2).all())

    def seen(self, x: Tensor, batch: Batch) -> Tensor:
        """Return audio (B, T) low-passed to the recordings' bands, with zero phase and as if periodic."""
        if not self.limited(batch):
            return x
        view = low_pass(x.shape[1], self.mel_config.sample_rate, batch["band"].to(x))
        seen: Tensor = torch.fft.irfft(torch.fft.rfft(x) * view, n=x.shape[1])
        return seen

    def filled(self, x: Tensor, expected: Tensor, batch: Batch) -> Tensor:
        """Return recordings (B, T) with `expected` above their band."""
        return expected + self.seen(x - expected, batch) if self.limited(batch) else x


@dataclass(frozen=True)
class SampleWeights(RecordingLosses):
    """Weights and schedule of losses on samples; a weight of 0 disables a loss."""

    spectral: NotNegative = 1.0
    """weight of the multi-resolution STFT loss"""
    mel: NotNegative = 1.0
    """weight of the multi-scale log-mel loss"""
    periodicity: NotNegative = 0.0
    """weight of the distance of autocorrelations, of the whole spectrum and of its bands"""
    corrected_share: Share = 1.0
    """share of steps whose losses and critics see samples after correction; the others see them before it"""
    sample_corrections: NotNegativeInt | None = None
    """corrections per sample in training; by default the model's own number, which is slow"""
    adversarial: NotNegative = 0.0
    features: NotNegative = 0.5
    """weight of the distance between the critics' features"""
    critics_from: NotNegativeInt = 1500
    """step from which critics are trained and their loss counts"""
    critics_every: Count = 1
    """interval in steps at which critics judge; they take as long as the rest of a step"""
    pitch: NotNegative = 0.1
    """weight of the pitch network's loss in models with a harmonic source"""
    critics: CriticConfig = field(default_factory=CriticConfig)
    blur: BlurConfig = field(default_factory=lambda: BlurConfig(share=0.0))
    """smoothing of input mels, to resemble those of acoustic models; the recording is unchanged"""

    def _rules(self) -> Rules:
        first, samples_from = self.critics_from, getattr(self, "samples_from", 0)
        fault = f"critics_from {first} must be at least samples_from {samples_from}: critics judge samples"
        yield not self.adversarial or first >= samples_from, fault


@dataclass(frozen=True)
class SampleRun(CorpusRun):
    """The configuration of a vocoder's run with losses on its samples."""

    start_from: str | None = None
    """model directory or shipped name to start from, including its critics if they have the same shape; the head of a
    reverse student may differ"""
    pitch_from: str | None = None
    """model directory or shipped name whose pitch network to start from"""

    @classmethod
    def complete(cls, settings: dict[str, Any]) -> None:
        """Add the settings that follow from the mel, and let critics hear all of the audio, unless they are given."""
        super().complete(settings)
        losses = settings.setdefault("losses", {})
        if isinstance(losses, dict) and isinstance(losses.setdefault("critics", {}), dict):
            losses["critics"].setdefault("f_max", load_mel_config(str(settings.get("mel", "nvidia"))).sample_rate / 2)


class SampleObjective(RecordingObjective):
    """An objective with losses that compare samples with recordings, before or after correction."""

    model: Any
    teacher: nn.Module | None

    def __init__(
        self, model: Any, mel_config: MelConfig, losses: SampleWeights, teacher: nn.Module | None = None
    ) -> None:
        super().__init__(model, mel_config, losses, teacher)
        self.teacher = teacher
        if losses.adversarial:
            first, every, rate = losses.critics_from, losses.critics_every, mel_config.sample_rate
            self.adversary = Adversary(losses.critics, rate, losses.dtype, first=first, every=every)
        self.correction = Correction(mel_config, model.config.corrections)
        self.mels = MultiScaleMel(mel_config.sample_rate)
        self.wants_pitch = model.pitch is not None

    def with_critics_of(self, *references: str | None) -> Self:
        """Load the critics from the first of the given models that has critics of this shape, if any has."""
        if self.adversary is not None:
            any(self.adversary.load(model_directory(reference)) for reference in references if reference is not None)
        return self

    def pitch_parts(self, mel: Tensor, batch: Batch) -> Parts:
        """Return weight and value of the pitch network's loss, if the model has one."""
        if self.model.pitch is None:
            return {}
        return {"pitch": (self.losses.pitch, pitch_loss(self.model.pitch, mel, batch["f0"]))}

    def sample_parts(self, x_hat: Tensor, x: Tensor, mel: Tensor, batch: Batch, step: int) -> Parts:
        """Return weight and value of each loss at this step on a sample x_hat (B, T), to be corrected to `mel`."""
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
        """Return the validation distances of a sample; the score is the spectral distance after correction.

        Arguments are as for `sample_parts`. The distance of mels is in nepers.
        """
        corrected, x = self.seen(self.correction(x_hat, mel), batch), self.seen(x, batch)
        spectral, uncorrected = stft_loss(corrected, x), stft_loss(self.seen(x_hat, batch), x)
        mels = (self.mel(corrected) - self.mel(x)).abs().mean()
        return {"spectral": spectral, "mel": mels, "uncorrected": uncorrected, "score": spectral}


def noise_for(model: Any, mel: Tensor) -> Tensor:
    """Return input noise of a model for a mel (B, n_mels, frames)."""
    return torch.randn(model.noise_shape(mel.shape[0], mel.shape[2]), device=mel.device)


def noisy(x: Tensor, deviation: float) -> Tensor:
    """Return audio (B, T) with Gaussian noise of standard deviation `deviation`, dequantised from 16 bits."""
    return x + deviation * torch.randn_like(x) + (torch.rand_like(x) - 0.5) / 32768
