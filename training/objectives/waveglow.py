"""The objective of WaveGlow: likelihood, and spectral and adversarial losses on its samples."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from training.critics.spectrogram import CriticConfig, SpectrogramCritics, critic_loss, feature_loss, generator_loss
from training.distil.envelope import ridge
from training.loop.objective import Batch, Objective, Phase
from training.losses.pitch import labels_of_frames, pitch_loss
from training.losses.spectral import MultiResolutionSTFT
from vocoder.checkpoint import save_model
from vocoder.config import ConfigError
from vocoder.flows.conditional import ConditionalAffine
from vocoder.layers.mel_consistency import MelConsistency
from vocoder.layers.stack import set_compute_dtype
from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import MelSpectrogram
from vocoder.models.waveglow import WaveGlow

__all__ = ["WaveGlowLosses", "WaveGlowObjective"]


@dataclass(frozen=True)
class WaveGlowLosses:
    """Weights and schedule of the losses; a weight of 0 switches a loss off."""

    likelihood: float = 0.3
    """weight of nats per sample beside the losses on samples; alone, before them, it counts whole"""
    pitch: float = 0.1
    spectral: float = 1.0
    mel: float = 1.0
    adversarial: float = 0.1
    features: float = 0.5
    critic_rate: float = 1.0
    """learning rate of the critics, relative to the model's"""
    likelihood_every: int = 1
    """once samples have losses, take the likelihood every this-many-th step, with as many times its weight"""
    samples_from: int = 1000
    """step from which losses on samples are added to the likelihood"""
    critics_from: int = 1500
    """step from which the critics are trained, and their judgement is added"""
    noise: float = 1e-4
    """standard deviation of the noise that keeps the density of empty bands finite"""
    bfloat16: bool = True
    """compute the convolutions in bfloat16"""
    critics: CriticConfig = field(default_factory=CriticConfig)

    def __post_init__(self) -> None:
        for name in ("likelihood", "pitch", "spectral", "mel", "adversarial", "features", "noise"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must not be negative, not {getattr(self, name)}")
        if self.likelihood_every < 1:
            raise ConfigError(f"likelihood_every must be at least 1, not {self.likelihood_every}")
        if self.adversarial and self.critics_from < self.samples_from:
            raise ConfigError(
                f"critics_from {self.critics_from} must not be before samples_from {self.samples_from}: "
                "critics judge samples"
            )


class WaveGlowObjective(Objective):
    """Negative log-likelihood in nats per sample, plus losses on samples drawn through the differentiable inverse.

    A batch holds `x` (B, margin + T + margin) with margin = n_fft / 2 samples of context for the mel.
    """

    def __init__(self, model: WaveGlow, mel_config: MelConfig, losses: WaveGlowLosses) -> None:
        super().__init__()
        self.model = model
        self.mel_config = mel_config
        self.losses = losses
        self.mel = MelSpectrogram(mel_config, precise=False)
        self._judged: deque[tuple[Tensor, Tensor]] = deque()
        self.consistency = MelConsistency(mel_config, model.config.consistency_steps)
        self.stft = MultiResolutionSTFT()
        dtype = torch.bfloat16 if losses.bfloat16 else torch.float32
        set_compute_dtype(model, dtype)
        self.critics = SpectrogramCritics(losses.critics, mel_config.sample_rate, dtype) if losses.adversarial else None

    def phases(self) -> tuple[Phase, ...]:
        """Return the model's update, and that of the critics if there are any."""
        model = Phase("model", tuple(self.model.parameters()))
        if self.critics is None:
            return (model,)
        return model, Phase("critic", tuple(self.critics.parameters()), self.losses.critic_rate)

    def samples(self, batch: Batch) -> int:
        """Return the samples of a batch without its margins."""
        return batch["x"].shape[0] * (batch["x"].shape[1] - 2 * (self.mel_config.n_fft // 2))

    def loss(self, phase: str, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]] | None:
        """Return the loss of one update and its parts."""
        if phase == "critic":
            return self._critic_loss() if step >= self.losses.critics_from else None
        return self._model_loss(batch, step)

    def initialise(self, batches: Iterable[Batch]) -> None:
        """Start the element-wise flow from the data, and then actnorms, if there are any, from the first batch."""
        if self.model.envelope is None and not self.model.config.actnorm:
            return
        batches = iter(batches)
        first = next(batches)
        if self.model.envelope is not None:
            self._fit_envelope(self.model.envelope, chain([first], batches))
        if self.model.config.actnorm:
            x, mel = self._split(first)
            self.model.train()(self._noisy(x), mel)

    def _fit_envelope(self, envelope: ConditionalAffine, batches: Iterable[Batch]) -> None:
        """Fit its log-scale by ridge regression of the log-energy of each band on the mel."""
        rows, targets = [], []
        for batch in batches:
            x, mel = self._split(batch)
            coefficients, _ = self.model.transform(self._noisy(x).unsqueeze(1))
            frames = self.model.envelope_condition(mel)
            width = envelope.kernel_size // 2
            stacked = F.pad(frames, (width, width), mode="replicate").unfold(2, envelope.kernel_size, 1)
            rows.append(stacked.permute(0, 2, 1, 3).flatten(2).flatten(0, 1))
            targets.append(coefficients.square().clamp_min(1e-12).log().transpose(1, 2).flatten(0, 1))
        weight, bias = ridge(torch.cat(rows).double(), torch.cat(targets).double())
        # the mean of log(c^2) of a normal variable lies 1.27 below the logarithm of its variance
        shape = (envelope.channels, self.model.config.n_mels, envelope.kernel_size)
        envelope.set_log_scale(0.5 * weight.T.reshape(shape), 0.5 * (bias + 1.2704))

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        """Return nats per sample of audio with its noise, and the spectral distance of a sample."""
        x, mel = self._split(batch)
        generator = torch.Generator(device=x.device).manual_seed(0)
        noise = torch.randn(x.shape, generator=generator, device=x.device)
        nats = -self.model.log_prob(x + self.losses.noise * noise, mel).mean() / x.shape[1]
        z = torch.randn(self.model.noise_shape(x.shape[0], mel.shape[2]), generator=generator, device=x.device)
        x_hat = self.model.sample(z, mel)
        x_hat = self.consistency(x_hat, mel)
        distance = self.stft(x_hat, x)
        return {"nats": nats, "spectral": distance, "mel": self._mel_distance(x_hat, x), "score": distance}

    def demonstrate(self, batch: Batch) -> dict[str, Tensor]:
        """Return the first recording of the batch and a sample from its mel."""
        x, mel = self._split({name: value[:1] for name, value in batch.items()})
        x_hat = self._sample(mel)
        return {"recording": x[0], "sample": x_hat[0].detach()}

    def averaged(self) -> WaveGlow:
        """Return the model."""
        return self.model

    def export(self, directory: Path, provenance: dict[str, Any]) -> None:
        """Write the model directory."""
        save_model(directory, self.model, self.mel_config, provenance=provenance)

    def _model_loss(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        weights = self.losses
        x, mel = self._split(batch)
        parts: dict[str, Tensor] = {}
        total = x.new_zeros(())
        sampling = step >= weights.samples_from
        if not sampling or step % weights.likelihood_every == 0:
            parts["nats"] = -self.model.log_prob(self._noisy(x), mel).mean() / x.shape[1]
            total = total + (weights.likelihood * weights.likelihood_every if sampling else 1.0) * parts["nats"]
        if self.model.pitch is not None:
            labels = labels_of_frames(batch["x"], mel.shape[2], self.model.pitch.config, self.mel_config)
            parts["pitch"] = pitch_loss(self.model.pitch, mel, labels)
            total = total + weights.pitch * parts["pitch"]
        if sampling:
            x_hat = self._sample(mel)
            parts["spectral"] = self.stft(x_hat, x)
            parts["mel"] = self._mel_distance(x_hat, x)
            total = total + weights.spectral * parts["spectral"] + weights.mel * parts["mel"]
            if self.critics is not None and step >= weights.critics_from:
                start, length = self._critics_view(x)
                real_part = x[:, start : start + length]
                self._judged.append((x_hat[:, start : start + length].detach(), real_part))
                judged = self.critics(x_hat[:, start : start + length])
                with torch.no_grad():
                    real = self.critics(real_part)
                parts["adversarial"] = generator_loss(judged)
                parts["features"] = feature_loss(real, judged)
                total = total + weights.adversarial * parts["adversarial"] + weights.features * parts["features"]
        return total, {name: value.detach() for name, value in parts.items()}

    def _critic_loss(self) -> tuple[Tensor, dict[str, Tensor]]:
        assert self.critics is not None
        fake, real = self._judged.popleft()  # the samples of the model's update, just before, part by part
        loss = critic_loss(self.critics(real), self.critics(fake))
        return loss, {"critic": loss.detach()}

    def _critics_view(self, x: Tensor) -> tuple[int, int]:
        """Return the start and the length of the random part of a segment that the critics see at this step."""
        length = min(self.losses.critics.length or x.shape[1], x.shape[1])
        return int(torch.randint(x.shape[1] - length + 1, ())), length

    def _split(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the audio (B, T) without its margins, and its mel (B, n_mels, T / hop_length)."""
        margin = self.mel_config.n_fft // 2
        x = batch["x"][:, margin:-margin]
        return x, self.mel.frame(batch["x"])[:, :, : x.shape[1] // self.mel_config.hop_length]

    def _noisy(self, x: Tensor) -> Tensor:
        return x + self.losses.noise * torch.randn_like(x) + (torch.rand_like(x) - 0.5) / 32768

    def _sample(self, mel: Tensor) -> Tensor:
        noise = torch.randn(self.model.noise_shape(mel.shape[0], mel.shape[2]), device=mel.device)
        x_hat = self.model.sample(noise, mel)
        corrected: Tensor = self.consistency(x_hat, mel)
        return corrected

    def _mel_distance(self, x_hat: Tensor, x: Tensor) -> Tensor:
        distance: Tensor = (self.mel(x_hat) - self.mel(x)).abs()
        return distance.mean()
