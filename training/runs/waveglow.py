"""`vocoder-train waveglow`: fit a WaveGlow by likelihood and by spectral and adversarial losses on its samples."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain

import torch
from torch import Tensor

from training.loop.objective import Batch, Parts
from training.run_config import command_of
from training.runs.corpus_run import train
from training.runs.recordings import SampleObjective, SampleRun, SampleWeights, noisy
from training.start.envelope import fit_envelope
from training.start.inheritance import started_from
from vocoder.config import Count, NotNegative, NotNegativeInt
from vocoder.mel.config_file import load_mel_config
from vocoder.models.waveglow import WaveGlow, WaveGlowConfig


@dataclass(frozen=True)
class WaveGlowLosses(SampleWeights):
    """Weights and schedule of the losses; a weight of 0 disables a loss."""

    likelihood: NotNegative = 0.3
    """weight of nats per sample together with losses on samples; it is 1 before these start"""
    likelihood_every: Count = 1
    """with losses on samples, compute the likelihood only at every n-th step, with n times its weight"""
    adversarial: NotNegative = 0.1
    samples_from: NotNegativeInt = 1000
    """step from which losses on samples are added to the likelihood"""


@dataclass(frozen=True)
class WaveGlowRun(SampleRun):
    """The configuration of `vocoder-train waveglow`."""

    model: WaveGlowConfig = field(default_factory=WaveGlowConfig)
    losses: WaveGlowLosses = field(default_factory=WaveGlowLosses)

    def objective(self) -> "WaveGlowObjective":
        """Return the objective."""
        model = started_from(self.start_from, WaveGlow, self.model, self.pitch_from)
        return WaveGlowObjective(model, load_mel_config(self.mel), self.losses).with_critics_of(self.start_from)


class WaveGlowObjective(SampleObjective):
    """Negative log-likelihood in nats per sample, plus losses on samples drawn through the differentiable inverse.

    Above a recording's band edge, the likelihood sees the model's own sample, because the model should not learn the
    silence of band-limited recordings.
    """

    model: WaveGlow
    losses: WaveGlowLosses

    def initialise(self, batches: Iterable[Batch]) -> None:
        """Initialise a new element-wise flow from the data, then any actnorms from the first batch."""
        segments = ((noisy(x, self.losses.noise), mel) for x, mel in map(self.segments, batches))
        first = [next(segments)] if self.model.config.actnorm else []
        fit_envelope(self.model, chain(first, segments))
        for x, mel in first:
            self.model.train()(x, mel)

    def parts(self, batch: Batch, step: int) -> Parts:
        """Return weight and value of each loss of the model at this step."""
        weights = self.losses
        x, mel = self.segments(batch, weights.blur)
        parts, sampling = self.pitch_parts(mel, batch), step >= weights.samples_from
        with torch.set_grad_enabled(sampling):
            x_hat = self.model.synthesize(mel) if sampling or self.limited(batch) else x
        if not sampling or step % weights.likelihood_every == 0:
            full = noisy(self.filled(x, x_hat.detach(), batch), weights.noise)
            weight = weights.likelihood * weights.likelihood_every if sampling else 1.0
            parts["nats"] = weight, -self.model.log_prob(full, mel).mean() / x.shape[1]
        if sampling:
            parts |= self.sample_parts(x_hat, x, mel, batch, step)
        return parts

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        """Return nats per sample of noisy audio, and a sample's distances before and after correction."""
        x, mel = self.segments(batch)
        x_hat = self.model.synthesize(mel)
        full = self.filled(x, x_hat, batch) + self.losses.noise * torch.randn_like(x)
        nats = -self.model.log_prob(full, mel).mean() / x.shape[1]
        return self.distances(x_hat, x, mel, batch) | {"nats": nats}


add_arguments, run = command_of(WaveGlowRun, train)
