"""The objective of WaveGlow: likelihood, and spectral and adversarial losses on its samples."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.data.mel_store import conditioned
from training.data.mel_variation import blurred
from training.distil.envelope import log_scale_of
from training.loop.objective import Batch, Objective, Phase
from training.losses.band_limit import is_whole
from training.losses.pitch import pitch_loss
from training.objectives.sample_losses import Parts, SampleLosses, critic_loss, critics_of, critics_phase
from training.objectives.waveglow_losses import WaveGlowLosses
from vocoder.checkpoint import save_model
from vocoder.config import ConfigError
from vocoder.flows.elementwise import ConditionalAffine
from vocoder.layers.stack import set_compute_dtype
from vocoder.mel.config import MelConfig
from vocoder.models.waveglow import WaveGlow

__all__ = ["WaveGlowObjective"]


class WaveGlowObjective(Objective):
    """Negative log-likelihood in nats per sample, plus losses on samples drawn through the differentiable inverse.

    Batches are those of `SampleLosses`. The likelihood sees a recording whose band above its edge is filled with what
    the model itself expects there, a sample of its own: that silence is the recording's limit, and no model should
    learn it. Mels that came with recordings stand for their own as what the model hears; what losses compare is the
    recording.

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
        self.compared = SampleLosses(mel_config, model.config.corrections)
        dtype = torch.bfloat16 if losses.bfloat16 else torch.float32
        set_compute_dtype(model, dtype)
        self.adversary = critics_of(losses, mel_config.sample_rate, dtype)

    @property
    def wants_pitch(self) -> bool:
        """Return whether batches need pitch labels: the model has a harmonic source."""
        return self.model.pitch is not None

    def phases(self) -> tuple[Phase, ...]:
        """Return the model's update, and that of the critics if there are any."""
        return Phase("model", tuple(self.model.parameters())), *critics_phase(self.adversary, self.losses)

    def samples(self, batch: Batch) -> int:
        """Return the samples of a batch without its margins."""
        return self.compared.count(batch)

    def loss(self, phase: str, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]] | None:
        """Return the loss of one update and its parts."""
        if phase == "critic":
            return critic_loss(self.adversary, self.losses, step)
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
            x, mel = self.compared.segments(first)
            self.model.train()(self._noisy(x), mel)

    def _fit_envelope(self, envelope: ConditionalAffine, batches: Iterable[Batch], above: float | None) -> None:
        """Fit its log-scale to the energy of recordings.

        With `above` only bands above that frequency in Hz are fitted, to recordings of the whole band alone.
        """
        pairs = []
        for batch in batches:
            x, mel = self.compared.segments(batch)
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
        x, mel = self.compared.segments(batch)
        generator = torch.Generator(device=x.device).manual_seed(0)
        noise = torch.randn(x.shape, generator=generator, device=x.device)
        z = torch.randn(self.model.noise_shape(x.shape[0], mel.shape[2]), generator=generator, device=x.device)
        x_hat = self.model.sample(z, mel)
        full = self.compared.filled(x, x_hat, batch) + self.losses.noise * noise
        nats = -self.model.log_prob(full, mel).mean() / x.shape[1]
        return self.compared.distances(self.compared.heard(x_hat, x, mel, batch)) | {"nats": nats}

    def demonstrate(self, batch: Batch) -> dict[str, Tensor]:
        """Return the first recording of the batch and a sample from its mel."""
        x, mel = self.compared.segments({name: value[:1] for name, value in batch.items()})
        x_hat = self.compared.correction(self._sample(mel), mel)
        return {"recording": x[0], "sample": x_hat[0].detach()}

    def averaged(self) -> WaveGlow:
        """Return the model."""
        return self.model

    def export(self, directory: Path, provenance: dict[str, Any]) -> None:
        """Write the model directory, and the critics beside the weights."""
        save_model(directory, self.model, self.mel_config, provenance=provenance)
        if self.adversary is not None:
            self.adversary.save(directory)

    def _parts(self, batch: Batch, step: int) -> Parts:
        """Return weight and value of each loss of the model at this step."""
        weights: WaveGlowLosses = self.losses
        parts: Parts = {}
        x, mel = self.compared.segments(batch)
        mel = conditioned(blurred(mel, weights.blur), batch)  # predicted ones stay as they are
        sampling = step >= weights.samples_from
        with torch.set_grad_enabled(sampling):
            x_hat = self._sample(mel) if sampling or self._is_limited(batch) else x
        if not sampling or step % weights.likelihood_every == 0:
            full = self._noisy(self.compared.filled(x, x_hat.detach(), batch))
            weight = weights.likelihood * weights.likelihood_every if sampling else 1.0
            parts["nats"] = weight, -self.model.log_prob(full, mel).mean() / x.shape[1]
        if self.model.pitch is not None:
            parts["pitch"] = weights.pitch, pitch_loss(self.model.pitch, mel, batch["f0"])
        if sampling:
            heard = self.compared.heard(x_hat, x, mel, batch, weights.sample_corrections)
            parts |= self.compared.parts(heard, weights, step, self.adversary)
        return parts

    def _is_limited(self, batch: Batch) -> bool:
        return "band" in batch and not is_whole(batch["band"], self.mel_config.sample_rate)

    def _noisy(self, x: Tensor) -> Tensor:
        return x + self.losses.noise * torch.randn_like(x) + (torch.rand_like(x) - 0.5) / 32768

    def _sample(self, mel: Tensor) -> Tensor:
        """Return a sample (B, T), not corrected."""
        noise = torch.randn(self.model.noise_shape(mel.shape[0], mel.shape[2]), device=mel.device)
        return self.model.sample(noise, mel)
