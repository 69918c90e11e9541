"""The student: an inverse autoregressive flow from noise to audio in one parallel pass."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Literal

import torch
from torch import Tensor, nn

from vocoder.config import Count, Rules
from vocoder.flows.affine import ConditionalAffine
from vocoder.flows.conv1x1 import MATRIX_STEP_SCALE, InvertibleConv1x1, swap_order
from vocoder.flows.coupling import soft_clip
from vocoder.flows.inverse_autoregressive import InverseAutoregressive
from vocoder.flows.lapped import LappedTransform
from vocoder.flows.minimum_phase import MinimumPhaseFilter
from vocoder.layers.conditioning import MelEncoder, PitchNet, normalised
from vocoder.layers.source import COEFFICIENTS, GAINS, Excitation, HarmonicSource, SourceConfig
from vocoder.layers.stack.wavenet import WaveNetConfig, WaveNetStack
from vocoder.models.base import FlowVocoder, VocoderConfig
from vocoder.packing import Packing
from vocoder.stages import CONDITION, MEL, NOISE, Stage, Z

SHIFT = "shift"  # signal of the stages over samples that is added to white noise
GAIN_BOUND = 4.0  # nepers: from inaudible in the noise to 35 dB above it
NOISE_FLOOR = 1e-3  # of the learned noise gain, since there is no density without noise


@dataclass(frozen=True)
class StudentConfig(VocoderConfig):
    """Architecture of a student: its steps, and the causal stack of each inverse autoregressive flow."""

    kind: Literal["samples", "frames"] = "frames"
    """flows over samples, as published, or over the frames of an orthonormal lapped transform"""
    group_size: Count = 256
    """hop of the lapped transform, which is also the number of channels; ignored for samples"""
    stacks: tuple[WaveNetConfig, ...] = (WaveNetConfig(192, (1, 2, 1), kernel_size=3, causal=True),) * 8
    """causal stack of each flow, starting at the noise"""
    cond_channels: Count = 128
    """channels of the condition"""
    log_s_bound: float | None = 2.0
    """soft bound of each flow's log-scales"""
    scaled_shift: bool = False
    """express each flow's shift in units of its scale, as in an inverted coupling"""
    filter_taps: int = 256
    """length in samples of the last flow over samples, the minimum-phase filter implied by the mel"""
    envelope_floor: float = -9.4
    """soft lower bound of the last flow's log-scale"""
    source: SourceConfig | None = None
    """harmonic source: part of the noise over frames, or mean of the noise over samples"""

    def _rules(self) -> Rules:
        hop_length, channels, taps = self.hop_length, self.channels, self.filter_taps
        causal = bool(self.stacks) and all(stack.causal for stack in self.stacks)
        yield causal, "a student needs at least one flow, and all of its stacks must be causal"
        yield hop_length % channels == 0, f"hop_length {hop_length} must be a multiple of group_size {channels}"
        yield self.kind == "samples" or channels > 1, "frames need a group_size of at least 2"
        yield taps > 1 and taps % 2 == 0, f"filter_taps must be even and at least 2, not {taps}"

    @property
    def channels(self) -> int:
        """Channels of the flows: 1 for samples, the hop of the lapped transform for frames."""
        return 1 if self.kind == "samples" else self.group_size

    @property
    def kept(self) -> int:
        """Number of channels that each flow leaves unchanged: half of a frame's, on which the other half depends."""
        return self.channels - self.channels // 2 if self.kind == "frames" else 0


class HarmonicShift(nn.Module):
    """Shapes a harmonic source by gains per band and frame, computed from the condition (B, cond_channels, frames).

    The gains act on the coefficients of a lapped transform, whose inverse yields samples. White noise around this mean
    stays white and independent of it, so the conditional of each sample keeps its closed form and only its mean
    changes.
    """

    def __init__(self, cond_channels: int, hop_length: int) -> None:
        super().__init__()
        self.transform = LappedTransform(hop_length)
        self.log_gain = nn.Conv1d(cond_channels, hop_length, 3, padding=1)
        nn.init.normal_(self.log_gain.weight, std=0.01)
        nn.init.zeros_(self.log_gain.bias)  # type: ignore[arg-type]

    def gains_of(self, cond: Tensor) -> Tensor:
        """Return the gain of each band, (B, hop_length, frames)."""
        return torch.exp(soft_clip(self.log_gain(cond), GAIN_BOUND))

    def forward(self, coefficients: Tensor, gains: Tensor) -> Tensor:
        """Return the mean of the noise (B, 1, T) for coefficients of the source and their gains."""
        return self.transform.inverse(coefficients * gains)[0]

    def stages(self, source: HarmonicSource) -> list[Stage]:
        """Return the stages from the mel and `CONDITION` to `SHIFT`."""
        reach = self.log_gain.kernel_size[0] // 2
        return [
            *source.stages(self.transform),
            Stage(GAINS, (CONDITION,), self.gains_of, reach, reach),
            Stage(SHIFT, (COEFFICIENTS, GAINS), self, 1, 1),
        ]


class Student(FlowVocoder):
    """Inverse autoregressive flows between noise z (B, C, steps) and audio x (B, T), given a natural-log mel.

    Over samples C is 1 and the last flow is a filter with the mel's envelope. Over frames C is the hop of a lapped
    transform, 1x1 matrices mix the channels between flows, and the last flow scales each coefficient by the mel. A
    harmonic source is part of the noise over frames, and the mean of the noise over samples. Noise to audio (`inverse`)
    is one parallel pass, which also gives the density of its sample; audio to noise (`forward`) is sequential. (van den
    Oord et al., "Parallel WaveNet", 2018; Ping et al., "ClariNet", 2018.)
    """

    config: StudentConfig
    steps: Sequence[InverseAutoregressive]
    mixing: Sequence[InvertibleConv1x1]

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        self.config = config
        framed, sourced, floor = config.kind == "frames", config.source is not None, config.envelope_floor
        self.transform = LappedTransform(config.channels) if framed else None
        self.envelope: ConditionalAffine | MinimumPhaseFilter = (
            ConditionalAffine(config.channels, config.n_mels, floor)
            if framed
            else MinimumPhaseFilter(config.n_mels, config.filter_taps, config.hop_length, floor)
        )
        self.condition = MelEncoder(config.n_mels, config.cond_channels)
        self.noise_channels = size = config.channels
        kept = config.kept
        nets = [WaveNetStack(size + kept, 2 * (size - kept), config.cond_channels, stack) for stack in config.stacks]
        self.steps = nn.ModuleList(  # type: ignore[assignment]
            InverseAutoregressive(network, size, kept, config.log_s_bound, config.scaled_shift) for network in nets
        )
        swaps = [torch.eye(size)[swap_order(size, i)] for i in range(len(nets))] if framed else []
        self.mixing = nn.ModuleList(  # type: ignore[assignment]
            InvertibleConv1x1(size, matrix.T, MATRIX_STEP_SCALE) for matrix in swaps
        )
        mixed = reduce(torch.matmul, swaps, torch.eye(size))
        self.pitch = PitchNet(config.n_mels, config.source.pitch) if config.source else None
        self.excitation = Excitation(config.cond_channels, size, mixed, NOISE_FLOOR) if framed and sourced else None
        self.shift = HarmonicShift(config.cond_channels, config.hop_length) if sourced and not framed else None

    def forward(self, x: Tensor, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Map audio x (B, T) and the mel (B, n_mels, frames) to `(z, log_det)`: sequential, slow, exact."""
        condition, z, log_det = self.condition(mel), x.unsqueeze(1), x.new_zeros(x.shape[0])
        if self.transform is not None:
            z, _ = self.transform(z)
        z, step = self.envelope(z, normalised(mel))
        log_det = log_det + step
        for i in reversed(range(len(self.steps))):
            if self.mixing:
                z, step = self.mixing[i].inverse(z)
                log_det = log_det + step
            z, step = self.steps[i](z, condition)
            log_det = log_det + step
        return z, log_det

    def stages(self, sigma: float | Tensor | None = None, packing: Packing | None = None) -> list[Stage]:
        """Return the stages from mel and noise to audio (B, 1, T), with one stage per flow, starting at the noise."""
        config = self.config
        stages = [Stage(CONDITION, (MEL,), self.condition, *self.condition.context)]
        stages += self._prior(config.sigma if sigma is None else sigma)
        for i, stack in enumerate(config.stacks):
            before = self.frames_of_steps(stack.context[0] + 1)  # the noise enters one step late
            stages.append(Stage(f"flow {i}", (stages[-1].output, CONDITION), partial(self._step, i), before))
        if isinstance(self.envelope, MinimumPhaseFilter):  # its responses are interpolated between frames
            reach, past = self.envelope.kernel_size // 2, self.frames_of_steps(self.envelope.taps - 1)
            before, after = max(past, reach), reach + 1
        else:
            before = after = self.frames_of_steps(self.envelope.kernel_size // 2)
        stages.append(Stage("shaped", (stages[-1].output, MEL), self._shaped, before, after))
        if self.transform is not None:
            stages.append(Stage("x", (stages[-1].output,), self.transform.inverse, 1, 1))  # blocks overlap
        return stages

    def _prior(self, sigma: float | Tensor) -> list[Stage]:
        """Return the stages of `Z`."""
        config = self.config
        if self.pitch is None or config.source is None:
            return [Stage(Z, (NOISE,), lambda noise: sigma * noise)]
        source = HarmonicSource(self.pitch, config.hop_length, config.sample_rate, config.source.f_max)
        if self.excitation is not None and self.transform is not None:
            return self.excitation.stages(source.stages(self.transform), sigma)
        assert self.shift is not None
        return [*self.shift.stages(source), Stage(Z, (SHIFT, NOISE), lambda shift, noise: shift + sigma * noise)]

    def _step(self, i: int, z: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Apply flow `i`; over samples its contribution to the log-determinant is returned per sample."""
        step = self.steps[i]
        if self.transform is None:
            return _scaled(z, *step.shift_and_log_scale(z, condition))
        z, log_det = step.inverse(z, condition)
        z, change = self.mixing[i](z)  # training samples, so this direction avoids the inverse matrix
        return z, log_det + change

    def _shaped(self, z: Tensor, mel: Tensor) -> tuple[Tensor, Tensor]:
        if isinstance(self.envelope, MinimumPhaseFilter):
            return _scaled(z, *self.envelope.shift_and_log_scale(z, normalised(mel)))
        return self.envelope.inverse(z, normalised(mel))


def _scaled(z: Tensor, t: Tensor, log_scale: Tensor) -> tuple[Tensor, Tensor]:
    return z * torch.exp(log_scale) + t, log_scale
