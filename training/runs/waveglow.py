"""`vocoder-train waveglow`: fit a WaveGlow by likelihood, and by spectral and adversarial losses on its samples."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from training.data.mel_variation import blurred
from training.data.stores import conditioned
from training.loop.objective import Batch, Objective, Parts
from training.losses.pitch import pitch_loss
from training.run_config import COUNT, NOT_NEGATIVE, check_bounds
from training.runs.corpus_run import CorpusRun, command_of
from training.runs.sample_losses import SampleLosses, SampleWeights
from training.start.envelope import log_scale_of
from training.start.inheritance import started_from
from vocoder.layers.stack import set_compute_dtype
from vocoder.mel.config import MelConfig
from vocoder.mel.config_file import load_mel_config
from vocoder.models.waveglow import WaveGlow
from vocoder.models.waveglow_config import WaveGlowConfig


@dataclass(frozen=True)
class WaveGlowLosses(SampleWeights):
    """Weights and schedule of the losses; a weight of 0 switches a loss off."""

    likelihood: float = 0.3
    """weight of nats per sample beside the losses on samples; before they join it is 1"""
    likelihood_every: int = 1
    """once samples have losses, take the likelihood every this-many-th step, with as many times its weight"""
    adversarial: float = 0.1
    samples_from: int = 1000
    """step from which losses on samples are added to the likelihood"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_bounds(self, likelihood=NOT_NEGATIVE, samples_from=NOT_NEGATIVE, likelihood_every=COUNT)


@dataclass(frozen=True)
class WaveGlowRun(CorpusRun):
    """Everything that a run of `vocoder-train waveglow` depends on."""

    model: WaveGlowConfig = field(default_factory=WaveGlowConfig)
    losses: WaveGlowLosses = field(default_factory=WaveGlowLosses)
    start_from: str | None = None
    """model directory or shipped name whose weights, and critics if they are shaped alike, the run starts from"""
    pitch_from: str | None = None
    """directory of a pitch network, model directory or shipped name, whose pitch network the model starts from"""

    def objective(self) -> WaveGlowObjective:
        """Return the objective."""
        model = started_from(self.start_from, WaveGlow, self.model, self.pitch_from)
        objective = WaveGlowObjective(model, load_mel_config(self.mel), self.losses)
        if objective.adversary is not None:
            objective.adversary.take_over(self.start_from)
        return objective


class WaveGlowObjective(Objective):
    """Negative log-likelihood in nats per sample, plus losses on samples drawn through the differentiable inverse.

    Batches are those of `Recordings`. Above a recording's band edge, the likelihood sees a sample of the model itself:
    the silence there is the recording's limit, which no model should learn. A mel that came with a recording is what
    the model hears; losses compare with the recording.
    """

    model: WaveGlow

    def __init__(self, model: WaveGlow, mel_config: MelConfig, losses: WaveGlowLosses) -> None:
        super().__init__(model, mel_config, losses.adversary(mel_config.sample_rate))
        self.losses = losses
        self.compared = SampleLosses(mel_config, model.config.corrections)
        self.unscored = 2 * self.compared.margin
        self.wants_pitch = model.pitch is not None
        set_compute_dtype(model, losses.dtype)

    def initialise(self, batches: Iterable[Batch]) -> None:
        """Start a new element-wise flow from the data, and then actnorms, if there are any, from the first batch."""
        envelope, actnorm = self.model.envelope, self.model.config.actnorm
        fitting = envelope is not None and not bool(envelope.projection.weight.any())
        found = [self.compared.segments(batch) for batch in batches] if fitting or actnorm else []
        if envelope is not None and fitting:
            pairs = [
                (self.model.envelope_condition(mel), self.model.transform(self._noisy(x).unsqueeze(1))[0].square())
                for x, mel in found
            ]
            envelope.set_log_scale(*log_scale_of(envelope, pairs))
        if actnorm:
            x, mel = found[0]
            self.model.train()(self._noisy(x), mel)

    def parts(self, batch: Batch, step: int) -> Parts:
        """Return weight and value of each loss of the model at this step."""
        weights: WaveGlowLosses = self.losses
        parts: Parts = {}
        x, mel = self.compared.segments(batch)
        mel = conditioned(blurred(mel, weights.blur), batch)  # predicted ones stay as they are
        sampling = step >= weights.samples_from
        with torch.set_grad_enabled(sampling):
            x_hat = self._sample(mel) if sampling or self.compared.limited(batch) else x
        if not sampling or step % weights.likelihood_every == 0:
            full = self._noisy(self.compared.filled(x, x_hat.detach(), batch))
            weight = weights.likelihood * weights.likelihood_every if sampling else 1.0
            parts["nats"] = weight, -self.model.log_prob(full, mel).mean() / x.shape[1]
        if self.model.pitch is not None:
            parts["pitch"] = weights.pitch, pitch_loss(self.model.pitch, mel, batch["f0"])
        if sampling:
            parts |= self.compared.parts(x_hat, x, mel, batch, weights, step, self.adversary)
        return parts

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        """Return nats per sample of audio with its noise, and the distances of a sample before and after correction."""
        x, mel = self.compared.segments(batch)
        generator = torch.Generator(device=x.device).manual_seed(0)
        noise = torch.randn(x.shape, generator=generator, device=x.device)
        z = torch.randn(self.model.noise_shape(x.shape[0], mel.shape[2]), generator=generator, device=x.device)
        x_hat = self.model.sample(z, mel)
        full = self.compared.filled(x, x_hat, batch) + self.losses.noise * noise
        nats = -self.model.log_prob(full, mel).mean() / x.shape[1]
        return self.compared.distances(x_hat, x, mel, batch) | {"nats": nats}

    def _noisy(self, x: Tensor) -> Tensor:
        return x + self.losses.noise * torch.randn_like(x) + (torch.rand_like(x) - 0.5) / 32768

    def _sample(self, mel: Tensor) -> Tensor:
        """Return a sample (B, T), not corrected."""
        noise = torch.randn(self.model.noise_shape(mel.shape[0], mel.shape[2]), device=mel.device)
        return self.model.sample(noise, mel)


add_arguments, run = command_of(WaveGlowRun)
