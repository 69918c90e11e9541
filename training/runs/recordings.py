"""What objectives over recordings share: the mels to make them from, and how far up each recording reaches."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from training.critics.adversary import Adversary
from training.data.augment import BlurConfig, blurred, low_pass
from training.data.stores import conditioned
from training.loop.objective import Batch, Objective
from training.loop.processes import multiplies_bfloat16
from vocoder.config import Checked, NotNegative
from vocoder.layers.stack.wavenet import set_compute_dtype
from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import MelSpectrogram


@dataclass(frozen=True)
class RecordingLosses(Checked):
    """What every loss on recordings depends on."""

    noise: NotNegative = 1e-4
    """standard deviation of the noise that keeps the density of empty bands finite"""
    bfloat16: bool = field(default_factory=multiplies_bfloat16)
    """compute the products in bfloat16; by default where the device has instructions for them"""

    @property
    def dtype(self) -> torch.dtype:
        """The type in which products are computed."""
        return torch.bfloat16 if self.bfloat16 else torch.float32


class RecordingObjective(Objective):
    """An objective over recordings.

    A batch holds `x` (B, margin + T + margin) with margin = n_fft // 2 samples of context for the mel. It may hold
    `band` (B,), the edge in Hz above which a recording is empty, and `mel` with `has_mel`, for recordings that came
    with mels: models hear those, and losses compare with the recording. Products are computed in the type of `losses`.
    """

    def __init__(
        self,
        model: nn.Module,
        mel_config: MelConfig,
        losses: RecordingLosses,
        adversary: Adversary | None = None,
        frozen: Sequence[nn.Module] = (),
    ) -> None:
        super().__init__(model, mel_config, adversary, *frozen)
        self.losses: Any = losses
        self.margin = mel_config.n_fft // 2
        self.unscored = 2 * self.margin
        self.mel = MelSpectrogram(mel_config, precise=False)
        for each in (model, *frozen):
            set_compute_dtype(each, losses.dtype)

    def segments(self, batch: Batch, blur: BlurConfig | None = None) -> tuple[Tensor, Tensor]:
        """Return the audio (B, T) and the mel (B, n_mels, T / hop_length) to make it from.

        Mels of recordings are smoothed by `blur`; those that came with them stay as they are.
        """
        x = batch["x"][:, self.margin : -self.margin]
        mel = self.mel.frame(batch["x"])[:, :, : x.shape[1] // self.mel_config.hop_length]
        return x, conditioned(mel if blur is None else blurred(mel, blur), batch)

    def limited(self, batch: Batch) -> bool:
        """Return whether some recording ends below half of the sample rate."""
        return "band" in batch and not bool((batch["band"] >= self.mel_config.sample_rate / 2).all())

    def seen(self, x: Tensor, batch: Batch) -> Tensor:
        """Return audio (B, T) as far up as recordings of the batch reach, filtered without phase, as if periodic."""
        if not self.limited(batch):
            return x
        view = low_pass(x.shape[1], self.mel_config.sample_rate, batch["band"].to(x))
        seen: Tensor = torch.fft.irfft(torch.fft.rfft(x) * view, n=x.shape[1])
        return seen

    def filled(self, x: Tensor, expected: Tensor, batch: Batch) -> Tensor:
        """Return recordings (B, T) with `expected` above their band."""
        return expected + self.seen(x - expected, batch) if self.limited(batch) else x


def noise_for(model: Any, mel: Tensor) -> Tensor:
    """Return the noise that a model makes audio of for a mel (B, n_mels, frames)."""
    return torch.randn(model.noise_shape(mel.shape[0], mel.shape[2]), device=mel.device)


def noisy(x: Tensor, deviation: float) -> Tensor:
    """Return audio (B, T) with noise of a standard deviation, dequantised from 16 bits."""
    return x + deviation * torch.randn_like(x) + (torch.rand_like(x) - 0.5) / 32768
