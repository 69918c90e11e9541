"""The objective of an autoregressive WaveNet: the likelihood of audio."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.data.mel_store import conditioned
from training.loop.objective import Batch, Objective, Phase
from training.losses.band_limit import filled, is_whole
from vocoder.checkpoint import save_model
from vocoder.config import ConfigError
from vocoder.layers.stack import set_compute_dtype
from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import MelSpectrogram
from vocoder.models.waveglow import WaveGlow
from vocoder.models.wavenet import WaveNet

__all__ = ["WaveNetLosses", "WaveNetObjective"]

DEMONSTRATION_FRAMES = 128
"""mel frames that are spoken in a demonstration, sample by sample"""


@dataclass(frozen=True)
class WaveNetLosses:
    """What is added to the audio, and how it is scored."""

    noise: float = 1e-4
    """standard deviation of the noise that keeps the density of empty bands finite"""
    past: int = 512
    """samples at the start of a segment that are seen but not scored: before them the model sees silence, not speech"""
    bfloat16: bool = True
    """compute the convolutions in bfloat16"""

    def __post_init__(self) -> None:
        if self.noise < 0 or self.past < 0:
            raise ConfigError(f"noise and past must be 0 or more, not {self.noise} and {self.past}")


class WaveNetObjective(Objective):
    """Negative log-likelihood in nats per sample of audio in [-1, 1], after dequantisation of 16 bits and noise.

    A batch holds `x` (B, margin + T + margin) with margin = n_fft / 2 samples of context for the mel. The first
    `past` samples of a segment are not scored: cut out of speech, they come as a surprise that real audio holds none
    of, tens of gains large, and its gradient would hide all others. Mels that came with recordings stand for their own
    (`conditioned`).

    A recording whose band ends early must not teach that there is silence above. Where there is a `filler`, what it
    expects there is put in its place: a sample from the same mel. `band` (B,) of the batch is the edge in Hz.

    Args:
        model: what is learnt.
        mel_config: its mel contract.
        losses: what is added to the audio, and how it is scored.
        filler: a trained model of the same mel; part of the module and its checkpoints.
    """

    def __init__(
        self, model: WaveNet, mel_config: MelConfig, losses: WaveNetLosses, filler: WaveGlow | None = None
    ) -> None:
        super().__init__()
        self.model = model
        self.filler = None if filler is None else filler.requires_grad_(False).eval()
        self.mel_config = mel_config
        self.losses = losses
        self.mel = MelSpectrogram(mel_config, precise=False)
        for stacks in (model, *([] if self.filler is None else [self.filler])):
            set_compute_dtype(stacks, torch.bfloat16 if losses.bfloat16 else torch.float32)

    def phases(self) -> tuple[Phase, ...]:
        """Return the one update there is."""
        return (Phase("model", tuple(self.model.parameters())),)

    def samples(self, batch: Batch) -> int:
        """Return the samples of a batch that are scored."""
        return batch["x"].shape[0] * (batch["x"].shape[1] - 2 * (self.mel_config.n_fft // 2) - self.losses.past)

    def loss(self, phase: str, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Return nats per sample."""
        x, mel = self._split(batch)
        x = self._filled(x, mel, batch)
        noisy = x + self.losses.noise * torch.randn_like(x) + (torch.rand_like(x) - 0.5) / 32768
        nats = self._nats(noisy, mel)
        return nats, {"nats": nats.detach()}

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        """Return nats per sample, under the same noise every time."""
        x, mel = self._split(batch)
        generator = torch.Generator(device=x.device).manual_seed(0)
        x = self._filled(x, mel, batch, generator)
        noise = self.losses.noise * torch.randn(x.shape, generator=generator, device=x.device)
        levels = (torch.rand(x.shape, generator=generator, device=x.device) - 0.5) / 32768
        nats = self._nats(x + noise + levels, mel)
        return {"nats": nats, "score": nats}

    def demonstrate(self, batch: Batch) -> dict[str, Tensor]:
        """Return the first recording of the batch, and its beginning as the model speaks it."""
        x, mel = self._split({name: value[:1] for name, value in batch.items()})
        return {"recording": x[0], "sample": self.model.synthesize(mel[:, :, :DEMONSTRATION_FRAMES])[0]}

    def averaged(self) -> WaveNet:
        """Return the model."""
        return self.model

    def export(self, directory: Path, provenance: dict[str, Any]) -> None:
        """Write the model directory."""
        save_model(directory, self.model, self.mel_config, provenance=provenance)

    @torch.no_grad()
    def _filled(self, x: Tensor, mel: Tensor, batch: Batch, generator: torch.Generator | None = None) -> Tensor:
        """Return recordings (B, T) with what the filler expects above their band."""
        rate = self.mel_config.sample_rate
        if self.filler is None or "band" not in batch or is_whole(batch["band"], rate):
            return x
        shape = self.filler.noise_shape(mel.shape[0], mel.shape[2])
        noise = torch.randn(shape, generator=generator, device=x.device)
        return filled(x, self.filler.sample(noise, mel), batch["band"], rate)

    def _nats(self, x: Tensor, mel: Tensor) -> Tensor:
        params, past = self.model.conditionals(x, mel), self.losses.past
        return -self.model.distribution.log_prob(params[:, :, past:], x[:, past:]).mean()

    def _split(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the audio (B, T) without its margins, and the mel (B, n_mels, T / hop_length) to make it from."""
        margin = self.mel_config.n_fft // 2
        x = batch["x"][:, margin:-margin]
        mel = self.mel.frame(batch["x"])[:, :, : x.shape[1] // self.mel_config.hop_length]
        return x, conditioned(mel, batch)
