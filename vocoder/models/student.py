"""The student: an inverse autoregressive flow from noise to audio in one parallel pass."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from vocoder.flows.conv1x1 import InvertibleConv1x1
from vocoder.flows.elementwise import ConditionalAffine
from vocoder.flows.harmonic_shift import SHIFT, HarmonicShift, shift_stages
from vocoder.flows.inverse_autoregressive import InverseAutoregressive
from vocoder.flows.lapped import LappedTransform
from vocoder.flows.minimum_phase import MinimumPhaseFilter
from vocoder.flows.rearrangement import swap
from vocoder.layers.conditioning import MelEncoder, normalised
from vocoder.layers.source.base_noise import BaseNoise
from vocoder.layers.source.excitation import COEFFICIENTS, GAINS, Excitation, excitation_stages
from vocoder.layers.source.harmonics import HarmonicSource
from vocoder.layers.source.pitch import PitchNet
from vocoder.layers.stack import WaveNetStack
from vocoder.models.base import FlowVocoder
from vocoder.models.student_config import StudentConfig
from vocoder.packing import Packing
from vocoder.stages import MEL, NOISE, Stage, Z, run, windowed

__all__ = ["Draw", "Student"]

MATRIX_STEP_SCALE = 0.1
CONDITION = "condition"
NOISE_FLOOR = 1e-3  # of the learned gain of the noise: without noise there is no density


@dataclass(frozen=True)
class Draw:
    """A sample of a student with what is known of its density.

    Attributes:
        x: audio (B, T).
        log_prob: its log-density in nats, (B,).
        entropy: (B,) in nats; the mean over draws is the entropy of the student. Each noise value enters by its
            expectation, so that this varies far less than -log_prob.
        mu: (B, T) and `log_scale` (B, T): given the earlier noise, x_t is mu_t + exp(log_scale_t) times noise; None for
            a student of frames, whose samples depend on each other within a frame.
        log_scale: see `mu`.
    """

    x: Tensor
    log_prob: Tensor
    entropy: Tensor
    mu: Tensor | None
    log_scale: Tensor | None

    def first(self, items: int) -> Draw:
        """Return the draw of the first items of the batch."""
        mu = None if self.mu is None else self.mu[:items]
        log_scale = None if self.log_scale is None else self.log_scale[:items]
        return Draw(self.x[:items], self.log_prob[:items], self.entropy[:items], mu, log_scale)


class Student(FlowVocoder):
    """Inverse autoregressive flows between noise z (B, C, steps) and audio x (B, T), given a natural-log mel.

    Over samples C is 1 and the last flow is a filter with the mel's envelope; over frames C is the hop of a lapped
    transform, 1x1 matrices mix the channels between flows, and the last flow scales each coefficient by the mel. A
    harmonic source is a part of the noise over frames, and the mean of the noise over samples.
    Noise to audio (`inverse`) is one parallel pass and gives the density of its own sample; audio to noise
    (`forward`) goes step by step. (van den Oord et al., "Parallel WaveNet", 2018; Ping et al., "ClariNet", 2018.)
    """

    config: StudentConfig

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
        framed, sourced = config.kind == "frames", config.source is not None
        self.excitation = Excitation(config.cond_channels, size, mixed, NOISE_FLOOR) if framed and sourced else None
        self.shift = HarmonicShift(config.cond_channels, config.hop_length) if sourced and not framed else None

    def forward(self, x: Tensor, mel: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map audio x (B, T) and the mel (B, n_mels, frames) to `(z, log_det)`: sequential, slow, exact."""
        given = self.given(mel)
        condition = None if self.condition is None else self.condition(mel)
        z = x.unsqueeze(1)
        log_det = x.new_zeros(x.shape[0])
        if self.transform is not None:
            z, _ = self.transform(z)
        if self.envelope is not None:
            z, step = self.envelope(z, self.envelope_condition(given[MEL]))
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

    def stages(self, sigma: float | Tensor | None = None, packing: Packing | None = None) -> list[Stage]:
        """Return the stages from mel and noise to audio (B, 1, T): one for each flow, the one nearest the noise first.

        A student without a mel has those of its flows alone.
        """
        config, stages = self.config, []
        if self.condition is not None:
            reach = self.condition.context
            stages.append(Stage(CONDITION, (MEL,), windowed(self.condition), reach, reach))
        stages += self._prior(config.sigma if sigma is None else sigma)
        given = () if self.condition is None else (CONDITION,)
        for i, stack in enumerate(config.stacks):
            before = self._frames(stack.context[0] + 1)  # the noise enters one step late
            step = windowed(partial(self._step, i))
            stages.append(Stage(f"flow {i}", (stages[-1].output, *given), step, before))
        if isinstance(self.envelope, MinimumPhaseFilter):  # its responses stand at frames, and are mixed between two
            reach, past = self.envelope.kernel_size // 2, self._frames(self.envelope.taps - 1)
            shape = windowed(partial(self._shaped, self.envelope))
            stages.append(Stage("filtered", (stages[-1].output, MEL), shape, max(past, reach), reach + 1))
        elif self.envelope is not None:
            reach, shape = self._frames(self.envelope.kernel_size // 2), windowed(partial(self._shaped, self.envelope))
            stages.append(Stage("spectrum", (stages[-1].output, MEL), shape, reach, reach))
        if self.transform is not None:
            blocks = windowed(self.transform.inverse)  # which overlap
            stages.append(Stage("x", (stages[-1].output,), blocks, 1, 1))
        return stages

    def log_prob_step_by_step(self, x: Tensor, mel: Tensor | None = None) -> Tensor:
        """Return the log-density of audio x (B, T) in nats, (B,), by the sequential direction."""
        z, log_det = self(x, mel)
        shift, scale = self._shift_and_scale(self.given(mel))
        base = self.base.log_prob((z - shift) / scale) - scale.log()
        log_prob: Tensor = log_det + base.sum(dim=(1, 2))
        return log_prob

    def draw(self, noise: Tensor, mel: Tensor | None = None, sigma: float = 1.0) -> Draw:
        """Make a sample of white noise (B, C, steps) at temperature `sigma`, above 0, and what is known of it."""
        if sigma <= 0:
            raise ValueError(f"a density needs a temperature above 0, not {sigma}")
        given = self.given(mel)
        if self.condition is not None:
            given[CONDITION] = self.condition(mel)
        standard = self.base.from_white(noise)
        shift, scale = self._shift_and_scale(given, sigma)
        log_scale = scale.log().expand_as(noise)
        z = standard * scale + shift
        made = run(self.stages(), given | {Z: z})
        x, volume = made.signal.squeeze(1), made.log_det + log_scale.sum(dim=(1, 2))
        log_prob = self.base.log_prob(standard).sum(dim=(1, 2)) - volume
        entropy = volume + self.base.entropy * noise[0].numel()
        if self.transform is not None:
            return Draw(x, log_prob, entropy, None, None)
        log_scale = sum(made.changes, log_scale)  # every flow scales each sample: ClariNet, equation 12
        return Draw(x, log_prob, entropy, x - (torch.exp(log_scale) * standard).squeeze(1), log_scale.squeeze(1))

    def noise_shape(self, batch: int, frames: int) -> tuple[int, int, int]:
        """Return (B, C, steps) of the noise for a mel of that many frames."""
        return batch, self.config.channels, frames * self.config.hop_length // self.config.channels

    def envelope_condition(self, mel: Tensor) -> Tensor:
        """Return what the last flow sees: the centred mel, at the rate of the steps for frames."""
        if self.config.kind == "samples":
            return normalised(mel)
        return normalised(mel).repeat_interleave(self.config.hop_length // self.config.channels, dim=2)

    def _prior(self, sigma: float | Tensor) -> list[Stage]:
        """Return the stages of `Z`."""
        config, transform = self.config, self.transform
        if self.pitch is None or config.source is None:
            return [Stage(Z, (NOISE,), windowed(lambda noise: sigma * self.base.from_white(noise)))]
        source = HarmonicSource(config.hop_length, config.sample_rate, config.source.f_max)
        if self.shift is not None:
            moved = windowed(lambda shift, noise: shift + sigma * self.base.from_white(noise))
            return [*shift_stages(self.pitch, source, self.shift, CONDITION), Stage(Z, (SHIFT, NOISE), moved)]
        assert transform is not None
        assert self.excitation is not None
        return excitation_stages(self.pitch, source, lambda x: transform(x)[0], self.excitation, CONDITION, sigma)

    def _shift_and_scale(self, given: dict[str, Tensor], sigma: float = 1.0) -> tuple[Tensor, Tensor]:
        """Return mean and deviation of z, in units of the base noise's, given the mel."""
        like, stages = next(self.parameters()), self.stages()
        if self.shift is not None:
            return run(stages, given, SHIFT).signal, like.new_tensor(sigma)
        if self.excitation is None:
            return like.new_zeros(()), like.new_tensor(sigma)
        gains = run(stages, given, GAINS).signal
        return self.excitation.shift_and_scale(run(stages, given, COEFFICIENTS).signal, gains, sigma)

    def _step(self, i: int, z: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Apply flow number `i`; what it adds to the log-determinant is given for each sample where there are such."""
        step = self.steps[i]
        assert isinstance(step, InverseAutoregressive)
        if self.transform is None:
            return _scaled(z, *step.shift_and_log_scale(z, condition))
        z, log_det = step.inverse(z, condition)
        z, change = self.mixing[i](z)  # samples are what training makes, so this way needs no inverse
        return z, log_det + change

    def _shaped(self, flow: ConditionalAffine | MinimumPhaseFilter, z: Tensor, mel: Tensor) -> tuple[Tensor, Tensor]:
        condition = self.envelope_condition(mel)
        if isinstance(flow, MinimumPhaseFilter):
            return _scaled(z, *flow.shift_and_log_scale(z, condition))
        return flow.inverse(z, condition)

    def _frames(self, steps: int) -> int:
        """Return how many frames hold so many steps."""
        return -(-steps * self.config.channels // self.config.hop_length)


def _scaled(z: Tensor, t: Tensor, log_scale: Tensor) -> tuple[Tensor, Tensor]:
    return z * torch.exp(log_scale) + t, log_scale


def _envelope(config: StudentConfig) -> ConditionalAffine | MinimumPhaseFilter | None:
    if not config.n_mels:
        return None
    if config.kind == "frames":
        return ConditionalAffine(config.channels, config.n_mels, log_s_floor=config.envelope_floor)
    if not config.filter_taps:
        return None
    return MinimumPhaseFilter(config.n_mels, config.filter_taps, config.hop_length, log_s_floor=config.envelope_floor)
