"""The objective of WaveGlow: likelihood, and spectral and adversarial losses on its samples."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.critics.adversary import Adversary
from training.critics.spectrogram import CriticConfig
from training.data.mel_store import conditioned
from training.data.mel_variation import VariationConfig, varied
from training.distil.envelope import log_scale_of
from training.loop.objective import Batch, Objective, Phase
from training.losses.band_limit import band_limited, filled, is_whole
from training.losses.pitch import labels_of_frames, pitch_loss
from training.losses.spectral import MultiResolutionSTFT
from vocoder.checkpoint import save_model
from vocoder.config import ConfigError
from vocoder.flows.elementwise import ConditionalAffine
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
    uncorrected: float = 0.0
    """weight of the spectral and the mel loss on the sample before its correction, relative to those after it"""
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
    varied_mels: float = 0.0
    """share of the mels that are smoothed or disturbed as acoustic models do it, while the recording stays"""
    variation: VariationConfig = field(default_factory=VariationConfig)
    """how far such mels are varied"""
    refit_above: float | None = None
    """frequency in Hz above which the element-wise flow of a model that has learnt already starts anew, from
    recordings that reach further: for a model whose corpus ended there, and which expects silence above"""
    bfloat16: bool = True
    """compute the convolutions in bfloat16"""
    critics: CriticConfig = field(default_factory=CriticConfig)

    def __post_init__(self) -> None:
        for name in ("likelihood", "pitch", "spectral", "mel", "uncorrected", "adversarial", "features", "noise"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must not be negative, not {getattr(self, name)}")
        if not 0 <= self.varied_mels <= 1:
            raise ConfigError(f"varied_mels is a share of mels, from 0 to 1, not {self.varied_mels}")
        if self.likelihood_every < 1:
            raise ConfigError(f"likelihood_every must be at least 1, not {self.likelihood_every}")
        if self.adversarial and self.critics_from < self.samples_from:
            raise ConfigError(
                f"critics_from {self.critics_from} must not be before samples_from {self.samples_from}: "
                "critics judge samples"
            )


class WaveGlowObjective(Objective):
    """Negative log-likelihood in nats per sample, plus losses on samples drawn through the differentiable inverse.

    A batch holds `x` (B, margin + T + margin) with margin = n_fft / 2 samples of context for the mel, and `band` (B,),
    the edge in Hz above which a recording has nothing; without it recordings have the whole band. Losses and critics
    see samples and recordings below that edge. The likelihood sees a recording whose band above the edge is filled
    with what the model itself expects there, a sample of its own: that silence is the recording's limit, and no model
    should learn it. Mels that came with recordings stand for their own as what the model hears (`conditioned`); what
    losses compare is the recording.

    Args:
        model: what is learnt.
        mel_config: its mel contract.
        losses: their weights.
    """

    def __init__(self, model: WaveGlow, mel_config: MelConfig, losses: WaveGlowLosses) -> None:
        super().__init__()
        self.model = model
        self.mel_config = mel_config
        self.losses = losses
        self.mel = MelSpectrogram(mel_config, precise=False)
        self.consistency = MelConsistency(mel_config, model.config.corrections)
        self.stft = MultiResolutionSTFT()
        dtype = torch.bfloat16 if losses.bfloat16 else torch.float32
        set_compute_dtype(model, dtype)
        self.adversary = Adversary(losses.critics, mel_config.sample_rate, dtype) if losses.adversarial else None

    def phases(self) -> tuple[Phase, ...]:
        """Return the model's update, and that of the critics if there are any."""
        model = Phase("model", tuple(self.model.parameters()))
        if self.adversary is None:
            return (model,)
        return model, Phase("critic", tuple(self.adversary.parameters()), self.losses.critic_rate)

    def samples(self, batch: Batch) -> int:
        """Return the samples of a batch without its margins."""
        return batch["x"].shape[0] * (batch["x"].shape[1] - 2 * (self.mel_config.n_fft // 2))

    def loss(self, phase: str, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]] | None:
        """Return the loss of one update and its parts."""
        if phase == "critic":
            if self.adversary is None or step < self.losses.critics_from:
                return None
            loss = self.adversary.loss()
            return loss, {"critic": loss.detach()}
        total, parts = batch["x"].new_zeros(()), {}
        for name, (weight, value) in self._parts(batch, step).items():
            total, parts[name] = total + weight * value, value.detach()
        return total, parts

    def initialise(self, batches: Iterable[Batch]) -> None:
        """Start the element-wise flow from the data, and then actnorms, if there are any, from the first batch.

        A flow that has learnt already is left alone, but for what `refit_above` names.
        """
        envelope, limit = self.model.envelope, self.losses.refit_above
        learnt = envelope is not None and bool(envelope.projection.weight.any())
        if (envelope is None or (learnt and limit is None)) and not self.model.config.actnorm:
            return
        batches = iter(batches)
        first = next(batches)
        if envelope is not None and not (learnt and limit is None):
            self._fit_envelope(envelope, chain([first], batches), limit if learnt else None)
        if self.model.config.actnorm:
            x, mel = self._split(first)
            self.model.train()(self._noisy(x), mel)

    def _fit_envelope(self, envelope: ConditionalAffine, batches: Iterable[Batch], above: float | None) -> None:
        """Fit its log-scale to the energy of recordings.

        With `above` only bands above that frequency in Hz are fitted, to recordings of the whole band alone.
        """
        pairs = []
        for batch in batches:
            x, mel = self._split(batch)
            if above is not None and self._is_limited(batch):
                whole = batch["band"] >= self.mel_config.sample_rate / 2
                x, mel = x[whole], mel[whole]
            coefficients, _ = self.model.transform(self._noisy(x).unsqueeze(1))
            pairs.append((self.model.envelope_condition(mel), coefficients.square()))
        if not sum(len(cond) for cond, _ in pairs):
            raise ConfigError(
                "refit_above needs recordings of the whole band, and the first batches hold none; "
                "losses.refit_above=null goes without"
            )
        first = 0 if above is None else int(2 * above * envelope.channels / self.mel_config.sample_rate)
        envelope.set_log_scale(*log_scale_of(envelope, pairs), first)

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        """Return nats per sample of audio with its noise, and the distances of a sample before and after correction."""
        x, mel = self._split(batch)
        generator = torch.Generator(device=x.device).manual_seed(0)
        noise = torch.randn(x.shape, generator=generator, device=x.device)
        z = torch.randn(self.model.noise_shape(x.shape[0], mel.shape[2]), generator=generator, device=x.device)
        x_hat = self.model.sample(z, mel)
        full = self._filled(x, x_hat, batch) + self.losses.noise * noise
        nats = -self.model.log_prob(full, mel).mean() / x.shape[1]
        uncorrected, corrected, x = (self._seen(audio, batch) for audio in (x_hat, self.consistency(x_hat, mel), x))
        distance = self.stft(corrected, x)
        distances = {"spectral": distance, "mel": self._mel_distance(corrected, x)}
        return distances | {"nats": nats, "uncorrected": self.stft(uncorrected, x), "score": distance}

    def demonstrate(self, batch: Batch) -> dict[str, Tensor]:
        """Return the first recording of the batch and a sample from its mel."""
        x, mel = self._split({name: value[:1] for name, value in batch.items()})
        x_hat = self.consistency(self._sample(mel), mel)
        return {"recording": x[0], "sample": x_hat[0].detach()}

    def averaged(self) -> WaveGlow:
        """Return the model."""
        return self.model

    def export(self, directory: Path, provenance: dict[str, Any]) -> None:
        """Write the model directory, and the critics beside the weights."""
        save_model(directory, self.model, self.mel_config, provenance=provenance)
        if self.adversary is not None:
            self.adversary.save(directory)

    def _parts(self, batch: Batch, step: int) -> dict[str, tuple[float, Tensor]]:
        """Return weight and value of each loss of the model at this step."""
        weights, parts = self.losses, {}
        x, mel = self._split(batch)
        mel = conditioned(varied(mel, weights.varied_mels, weights.variation), batch)  # predicted ones stay as they are
        sampling = step >= weights.samples_from
        with torch.set_grad_enabled(sampling):
            x_hat = self._sample(mel) if sampling or self._is_limited(batch) else x
        if not sampling or step % weights.likelihood_every == 0:
            full = self._noisy(self._filled(x, x_hat.detach(), batch))
            weight = weights.likelihood * weights.likelihood_every if sampling else 1.0
            parts["nats"] = weight, -self.model.log_prob(full, mel).mean() / x.shape[1]
        if self.model.pitch is not None:
            labels = labels_of_frames(batch["x"], mel.shape[2], self.model.pitch.config, self.mel_config)
            parts["pitch"] = weights.pitch, pitch_loss(self.model.pitch, mel, labels)
        if sampling:
            parts |= self._sample_parts(x_hat, x, mel, batch, step)
        return parts

    def _sample_parts(
        self, x_hat: Tensor, x: Tensor, mel: Tensor, batch: Batch, step: int
    ) -> dict[str, tuple[float, Tensor]]:
        """Return weight and value of each loss on a sample x_hat (B, T) of the mel of x (B, T)."""
        weights = self.losses
        corrected, x = self._seen(self.consistency(x_hat, mel), batch), self._seen(x, batch)
        parts = {
            "spectral": (weights.spectral, self.stft(corrected, x)),
            "mel": (weights.mel, self._mel_distance(corrected, x)),
        }
        if weights.uncorrected:
            seen, share = self._seen(x_hat, batch), weights.uncorrected
            parts["uncorrected_spectral"] = share * weights.spectral, self.stft(seen, x)
            parts["uncorrected_mel"] = share * weights.mel, self._mel_distance(seen, x)
        if self.adversary is not None and step >= weights.critics_from:
            adversarial, features = self.adversary.judge(corrected, x)
            parts["adversarial"] = weights.adversarial, adversarial
            parts["features"] = weights.features, features
        return parts

    def _seen(self, x: Tensor, batch: Batch) -> Tensor:
        """Return audio (B, T) as far up as the recordings of the batch reach."""
        return band_limited(x, batch.get("band"), self.mel_config.sample_rate)

    def _filled(self, x: Tensor, expected: Tensor, batch: Batch) -> Tensor:
        """Return recordings (B, T) with `expected` above their band."""
        return filled(x, expected, batch.get("band"), self.mel_config.sample_rate)

    def _is_limited(self, batch: Batch) -> bool:
        return "band" in batch and not is_whole(batch["band"], self.mel_config.sample_rate)

    def _split(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the audio (B, T) without its margins, and the mel (B, n_mels, T / hop_length) to make it from."""
        margin = self.mel_config.n_fft // 2
        x = batch["x"][:, margin:-margin]
        mel = self.mel.frame(batch["x"])[:, :, : x.shape[1] // self.mel_config.hop_length]
        return x, conditioned(mel, batch)

    def _noisy(self, x: Tensor) -> Tensor:
        return x + self.losses.noise * torch.randn_like(x) + (torch.rand_like(x) - 0.5) / 32768

    def _sample(self, mel: Tensor) -> Tensor:
        """Return a sample (B, T), not corrected."""
        noise = torch.randn(self.model.noise_shape(mel.shape[0], mel.shape[2]), device=mel.device)
        return self.model.sample(noise, mel)

    def _mel_distance(self, x_hat: Tensor, x: Tensor) -> Tensor:
        distance: Tensor = (self.mel(x_hat) - self.mel(x)).abs()
        return distance.mean()
