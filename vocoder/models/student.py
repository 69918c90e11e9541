"""The student: an inverse autoregressive flow from noise to audio in one parallel pass."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vocoder.flows.base import Flow
from vocoder.flows.conditional import ConditionalAffine
from vocoder.flows.conv1x1 import InvertibleConv1x1
from vocoder.flows.inverse_autoregressive import InverseAutoregressive
from vocoder.flows.lapped import LappedTransform
from vocoder.flows.minimum_phase import MinimumPhaseFilter
from vocoder.flows.swap import swap
from vocoder.layers.mel_encoder import MelEncoder, normalised
from vocoder.layers.source.base_noise import BaseNoise
from vocoder.layers.source.excitation import Excitation
from vocoder.layers.source.harmonics import harmonic_source
from vocoder.layers.source.pitch import PitchNet
from vocoder.layers.stack import WaveNetStack
from vocoder.models.student_config import StudentConfig

__all__ = ["Draw", "Student"]

MATRIX_STEP_SCALE = 0.1
NOISE_FLOOR = 1e-3  # of the learned gain of the noise: without noise there is no density


@dataclass(frozen=True)
class Draw:
    """A sample of a student with what is known of its density.

    Attributes:
        x: audio (B, T).
        log_prob: its log-density in nats, (B,).
        entropy: (B,) in nats; the mean over draws is the entropy of the student. Each noise value enters by its
            expectation, so that this varies far less than -log_prob.
        mu: (B, T) and `log_s` (B, T): given the earlier noise, x_t is mu_t + exp(log_s_t) times noise; None for a
            student of frames, whose samples depend on each other within a frame.
        log_s: see `mu`.
    """

    x: Tensor
    log_prob: Tensor
    entropy: Tensor
    mu: Tensor | None
    log_s: Tensor | None

    def first(self, items: int) -> Draw:
        """Return the draw of the first items of the batch."""
        mu = None if self.mu is None else self.mu[:items]
        log_s = None if self.log_s is None else self.log_s[:items]
        return Draw(self.x[:items], self.log_prob[:items], self.entropy[:items], mu, log_s)


class Student(Flow):
    """Inverse autoregressive flows between noise z (B, C, steps) and audio x (B, T), given a natural-log mel.

    Over samples C is 1 and the last flow is a filter with the mel's envelope; over frames C is the hop of a lapped
    transform, 1x1 matrices mix the channels between flows, and the last flow scales each coefficient by the mel.
    Noise to audio (`inverse`) is one parallel pass and gives the density of its own sample; audio to noise
    (`forward`) goes step by step. (van den Oord et al., "Parallel WaveNet", 2018; Ping et al., "ClariNet", 2018.)
    """

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        self.config = config
        size = config.channels
        self.base = BaseNoise(config.noise)
        self.transform = LappedTransform(size) if config.kind == "frames" else None
        self.envelope = _envelope(config)
        self.condition = MelEncoder(config.n_mels, config.cond_channels) if config.n_mels else None
        self.steps = nn.ModuleList()
        self.mixing = nn.ModuleList()
        mixed = torch.eye(size)
        for i, stack in enumerate(config.stacks):
            network = WaveNetStack(size + config.kept, 2 * (size - config.kept), config.cond_channels, stack)
            flow = InverseAutoregressive(network, size, config.kept, config.log_s_bound, config.scaled_shift)
            self.steps.append(flow)
            if config.kind == "frames":
                matrix = swap(size, i)
                self.mixing.append(InvertibleConv1x1(size, matrix.T, MATRIX_STEP_SCALE))
                mixed = mixed @ matrix
        self.pitch = PitchNet(config.n_mels, config.source.pitch) if config.source else None
        self.excitation = Excitation(config.cond_channels, size, mixed, NOISE_FLOOR) if config.source else None

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map audio x (B, T) and the mel `cond` (B, n_mels, frames) to `(z, log_det)`: sequential, slow, exact."""
        condition, envelope = self._conditions(cond)
        z = x.unsqueeze(1)
        log_det = x.new_zeros(x.shape[0])
        if self.transform is not None:
            z, _ = self.transform(z)
        if self.envelope is not None:
            z, step = self.envelope(z, envelope)
            log_det = log_det + step
        for i in reversed(range(len(self.steps))):
            if self.mixing:
                mixing = self.mixing[i]
                assert isinstance(mixing, InvertibleConv1x1)
                z, step = mixing.inverse(z)
                log_det = log_det + step
            z, step = self.steps[i](z, condition)
            log_det = log_det + step
        return z, log_det

    def inverse(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map noise z (B, C, steps) and the mel `cond` (B, n_mels, frames) to `(x, log_det)` in one parallel pass."""
        x, log_det, _, _ = self._generate(z, *self._conditions(cond))
        return x, log_det

    def sample(self, noise: Tensor, mel: Tensor | None = None, sigma: float | None = None) -> Tensor:
        """Turn white noise (B, C, steps) into audio (B, T): `inverse` of `prior`, the mel encoded but once."""
        condition, envelope = self._conditions(mel)
        return self._generate(self._prior_of(noise, mel, condition, sigma), condition, envelope)[0]

    def log_prob_step_by_step(self, x: Tensor, mel: Tensor | None = None) -> Tensor:
        """Return the log-density of audio x (B, T) in nats, (B,), by the sequential direction."""
        z, log_det = self(x, mel)
        shift, log_scale = self._shift_and_log_scale(mel, self._conditions(mel)[0], z)
        base = self.base.log_prob((z - shift) * torch.exp(-log_scale)) - log_scale
        log_prob: Tensor = log_det + base.sum(dim=(1, 2))
        return log_prob

    def draw(self, noise: Tensor, mel: Tensor | None = None, sigma: float = 1.0) -> Draw:
        """Make a sample of white noise (B, C, steps) at temperature `sigma`, above 0, and what is known of it."""
        if sigma <= 0:
            raise ValueError(f"a density needs a temperature above 0, not {sigma}")
        standard = self.base.from_white(noise)
        condition, envelope = self._conditions(mel)
        shift, log_scale = self._shift_and_log_scale(mel, condition, noise, sigma)
        log_scale = log_scale.expand_as(noise)
        x, log_det, mu, log_s = self._generate(standard * torch.exp(log_scale) + shift, condition, envelope)
        volume = log_det + log_scale.sum(dim=(1, 2))
        log_prob = self.base.log_prob(standard).sum(dim=(1, 2)) - volume
        entropy = volume + self.base.entropy * noise[0].numel()
        if mu is None or log_s is None:
            return Draw(x, log_prob, entropy, None, None)
        return Draw(x, log_prob, entropy, mu.squeeze(1), (log_s + log_scale).squeeze(1))

    def sample_with_log_prob(self, noise: Tensor, mel: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return a sample x (B, T) made of white noise (B, C, steps), and its log-density in nats (B,), in one pass."""
        draw = self.draw(noise, mel)
        return draw.x, draw.log_prob

    def prior(self, noise: Tensor, mel: Tensor | None = None, sigma: float | None = None) -> Tensor:
        """Turn white noise (B, C, steps) into the `z` to sample from."""
        condition = None if self.excitation is None else self._conditions(mel)[0]
        return self._prior_of(noise, mel, condition, sigma)

    def _prior_of(self, noise: Tensor, mel: Tensor | None, condition: Tensor | None, sigma: float | None) -> Tensor:
        sigma = self.config.sigma if sigma is None else sigma
        if self.excitation is not None:
            return self._excite(noise, mel, condition, sigma)
        return sigma * self.base.from_white(noise)

    def noise_shape(self, batch: int, frames: int) -> tuple[int, int, int]:
        """Return (B, C, steps) of the noise for a mel of that many frames."""
        return batch, self.config.channels, frames * self.config.hop_length // self.config.channels

    @property
    def context(self) -> int:
        """Number of mel frames on each side that a frame of audio depends on, given z and the mel."""
        steps = sum(stack.context[0] + 1 for stack in self.config.stacks)
        steps += self.config.filter_taps if self.config.kind == "samples" else 1  # the overlap of the transform
        frames = -(-steps * self.config.channels // self.config.hop_length)
        return frames + (self.condition.context if self.condition is not None else 0) + 1

    def envelope_condition(self, mel: Tensor) -> Tensor:
        """Return what the last flow sees: the centred mel, at the rate of the steps for frames."""
        if self.config.kind == "samples":
            return normalised(mel)
        return normalised(mel).repeat_interleave(self.config.hop_length // self.config.channels, dim=2)

    def _generate(
        self, z: Tensor, condition: Tensor | None, envelope: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """Return x (B, T), log_det (B,), and of samples the total shift and log-scale (B, 1, T)."""
        log_det = z.new_zeros(z.shape[0])
        mu, log_s = (torch.zeros_like(z), torch.zeros_like(z)) if self.transform is None else (None, None)
        for i, step in enumerate(self.steps):
            assert isinstance(step, InverseAutoregressive)
            z, log_det, mu, log_s = _compose(step, z, condition, log_det, mu, log_s)
            if self.mixing:
                z, change = self.mixing[i](z)  # samples are what training makes, so this way needs no inverse
                log_det = log_det + change
        if isinstance(self.envelope, MinimumPhaseFilter):
            z, log_det, mu, log_s = _compose(self.envelope, z, envelope, log_det, mu, log_s)
        elif self.envelope is not None:
            z, change = self.envelope.inverse(z, envelope)
            log_det = log_det + change
        if self.transform is not None:
            z, _ = self.transform.inverse(z)
        return z.squeeze(1), log_det, mu, log_s

    def _conditions(self, mel: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        if self.condition is None:
            return None, None
        if mel is None:
            raise ValueError("this student needs the mel as its condition")
        return self.condition(mel), self.envelope_condition(mel)

    def _shift_and_log_scale(
        self, mel: Tensor | None, condition: Tensor | None, like: Tensor, sigma: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Return the shift and the log-scale of z, given the mel."""
        if self.excitation is None:
            return like.new_zeros(()), like.new_tensor(sigma).log()
        shift = self._excite(torch.zeros_like(like), mel, condition, sigma)
        return shift, (self._excite(torch.ones_like(like), mel, condition, sigma) - shift).log()

    def _excite(self, noise: Tensor, mel: Tensor | None, condition: Tensor | None, sigma: float) -> Tensor:
        assert self.excitation is not None
        assert self.transform is not None
        if mel is None or condition is None:
            raise ValueError("this student needs the mel as its condition")
        source, _ = self.transform(self._source(mel).unsqueeze(1))
        excited: Tensor = self.excitation(source, noise, condition, sigma)
        return excited

    @torch.no_grad()
    def _source(self, mel: Tensor) -> Tensor:
        config = self.config
        assert self.pitch is not None
        assert config.source is not None
        f0, voicing = self.pitch.pitch(mel)
        source = harmonic_source(f0, voicing, config.hop_length, config.sample_rate, config.source.f_max)
        return source.to(mel.dtype)


def _compose(
    flow: InverseAutoregressive | MinimumPhaseFilter,
    z: Tensor,
    cond: Tensor | None,
    log_det: Tensor,
    mu: Tensor | None,
    log_s: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Apply one flow; where all of a step is scaled, follow the total shift and log-scale (ClariNet, equation 12)."""
    if mu is None or log_s is None:
        x, change = flow.inverse(z, cond)
        return x, log_det + change, None, None
    t, scale = flow.shift_and_log_scale(z, cond)
    factor = torch.exp(scale)
    return z * factor + t, log_det + scale.sum(dim=(1, 2)), mu * factor + t, log_s + scale


def _envelope(config: StudentConfig) -> ConditionalAffine | MinimumPhaseFilter | None:
    if not config.n_mels:
        return None
    if config.kind == "frames":
        return ConditionalAffine(config.channels, config.n_mels, log_s_floor=config.envelope_floor)
    if not config.filter_taps:
        return None
    return MinimumPhaseFilter(config.n_mels, config.filter_taps, config.hop_length, log_s_floor=config.envelope_floor)
