"""What is asked of a sample beside the recording whose mel it was made from: the same for every objective."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.critics.adversary import Adversary
from training.data.mel_store import conditioned
from training.loop.objective import Batch, Phase
from training.losses.band_limit import band_limited, filled
from training.losses.spectral import MultiResolutionSTFT, MultiScaleMel
from training.objectives.sample_weights import SampleWeights
from vocoder.correction.correction import Correction
from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import MelSpectrogram

__all__ = ["Heard", "Parts", "SampleLosses", "critic_loss", "critics_of", "critics_phase"]

Parts = dict[str, tuple[float, Tensor]]
"""weight and value of each loss, by its name"""


@dataclass(frozen=True)
class Heard:
    """A recording, and a sample before and after its correction; each (B, T), as far up as the recording reaches."""

    x: Tensor
    uncorrected: Tensor
    corrected: Tensor


class SampleLosses(nn.Module):
    """Cut batches into recordings and mels, and compare samples with recordings, before and after their correction.

    A batch holds `x` (B, margin + T + margin) with margin = n_fft / 2 samples of context for the mel; `band` (B,), the
    edge in Hz above which a recording has nothing, so that nothing is compared there; and `mel` with `has_mel`, where
    recordings came with mels (`conditioned`).

    Args:
        mel_config: the mel contract.
        corrections: how often a sample is corrected before it is compared.
    """

    def __init__(self, mel_config: MelConfig, corrections: int) -> None:
        super().__init__()
        self.mel_config = mel_config
        self.mel = MelSpectrogram(mel_config, precise=False)
        self.correction = Correction(mel_config, corrections)
        self.stft = MultiResolutionSTFT()
        self.mels = MultiScaleMel(mel_config.sample_rate)

    def segments(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the audio (B, T) without its margins, and the mel (B, n_mels, T / hop_length) to make it from."""
        margin = self.mel_config.n_fft // 2
        x = batch["x"][:, margin:-margin]
        mel = self.mel.frame(batch["x"])[:, :, : x.shape[1] // self.mel_config.hop_length]
        return x, conditioned(mel, batch)

    def count(self, batch: Batch) -> int:
        """Return the samples of a batch without its margins."""
        return batch["x"].shape[0] * (batch["x"].shape[1] - 2 * (self.mel_config.n_fft // 2))

    def seen(self, x: Tensor, batch: Batch) -> Tensor:
        """Return audio (B, T) as far up as the recordings of the batch reach."""
        return band_limited(x, batch.get("band"), self.mel_config.sample_rate)

    def filled(self, x: Tensor, expected: Tensor, batch: Batch) -> Tensor:
        """Return recordings (B, T) with `expected` above their band."""
        return filled(x, expected, batch.get("band"), self.mel_config.sample_rate)

    def mel_distance(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """Return the mean absolute distance of the mels of audio (B, T), in nepers."""
        distance: Tensor = (self.mel(x_hat) - self.mel(x)).abs()
        return distance.mean()

    def heard(self, x_hat: Tensor, x: Tensor, mel: Tensor, batch: Batch, corrections: int | None = None) -> Heard:
        """Return what is compared of a sample x_hat (B, T), not corrected, that was made from the mel of x (B, T).

        Each frame is corrected `corrections` times towards `mel`; as often as the model does it where that is None.
        """
        corrected = self.correction.with_count(corrections)(x_hat, mel)
        return Heard(self.seen(x, batch), self.seen(x_hat, batch), self.seen(corrected, batch))

    def parts(self, heard: Heard, weights: SampleWeights, step: int, adversary: Adversary | None) -> Parts:
        """Return weight and value of each loss on a sample that is on at this step."""
        parts: Parts = {}
        if weights.spectral:
            parts["spectral"] = weights.spectral, self.stft(heard.corrected, heard.x)
        if weights.mel:
            parts["mel"] = weights.mel, self.mels(heard.corrected, heard.x)
        if weights.uncorrected:
            spectral, mel = weights.uncorrected * weights.spectral, weights.uncorrected * weights.mel
            parts["uncorrected_spectral"] = spectral, self.stft(heard.uncorrected, heard.x)
            parts["uncorrected_mel"] = mel, self.mels(heard.uncorrected, heard.x)
        if adversary is not None and weights.judges(step):
            first = weights.uncorrected and float(torch.rand(())) < weights.uncorrected_judged
            adversarial, features = adversary.judge(heard.uncorrected if first else heard.corrected, heard.x)
            parts["adversarial"] = weights.adversarial, adversarial
            parts["features"] = weights.features, features
        return parts

    def distances(self, heard: Heard) -> dict[str, Tensor]:
        """Return what validation measures of a sample; the score is the spectral distance after its correction."""
        spectral = self.stft(heard.corrected, heard.x)
        distances = {"spectral": spectral, "mel": self.mel_distance(heard.corrected, heard.x)}
        return distances | {"uncorrected": self.stft(heard.uncorrected, heard.x), "score": spectral}


def critics_of(weights: SampleWeights, sample_rate: int, dtype: torch.dtype) -> Adversary | None:
    """Return new critics, or None where the weights ask for none."""
    return Adversary(weights.critics, sample_rate, dtype) if weights.adversarial else None


def critics_phase(adversary: Adversary | None, weights: SampleWeights) -> tuple[Phase, ...]:
    """Return the update of the critics, or nothing if there are none."""
    if adversary is None:
        return ()
    return (Phase("critic", tuple(adversary.parameters()), weights.critic_rate),)


def critic_loss(
    adversary: Adversary | None, weights: SampleWeights, step: int
) -> tuple[Tensor, dict[str, Tensor]] | None:
    """Return the critics' own loss and its parts, or None at a step without them."""
    if adversary is None or not weights.judges(step):
        return None
    loss = adversary.loss()
    return loss, {"critic": loss.detach()}
