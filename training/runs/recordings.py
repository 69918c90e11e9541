"""The common part of objectives over recordings: their mels, and their bandwidth."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

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
    """The settings of every loss on recordings."""

    noise: NotNegative = 1e-4
    """standard deviation of noise that keeps the density of empty bands finite"""
    bfloat16: bool = field(default_factory=multiplies_bfloat16)
    """compute products in bfloat16; by default if the device has instructions for it"""

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

    def __init__(
        self, model: nn.Module, mel_config: MelConfig, losses: Any, adversary: Any, *frozen: nn.Module | None
    ) -> None:
        super().__init__(model, mel_config, adversary, *frozen)
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


def noise_for(model: Any, mel: Tensor) -> Tensor:
    """Return input noise of a model for a mel (B, n_mels, frames)."""
    return torch.randn(model.noise_shape(mel.shape[0], mel.shape[2]), device=mel.device)


def noisy(x: Tensor, deviation: float) -> Tensor:
    """Return audio (B, T) with Gaussian noise of standard deviation `deviation`, dequantised from 16 bits."""
    return x + deviation * torch.randn_like(x) + (torch.rand_like(x) - 0.5) / 32768
