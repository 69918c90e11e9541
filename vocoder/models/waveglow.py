"""WaveGlow: invertible 1x1 convolutions and affine couplings, conditioned on a mel."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn

from vocoder.flows.base import Flow
from vocoder.flows.conv1x1 import InvertibleConv1x1
from vocoder.flows.coupling import AdditiveCoupling, AffineCoupling
from vocoder.flows.elementwise import ActNorm, ConditionalAffine
from vocoder.flows.lapped import LappedTransform
from vocoder.flows.rearrangement import Grouping, Permutation, reversal, shuffle, swap
from vocoder.layers.conditioning import MelEncoder, MelUpsampler, normalised
from vocoder.layers.source.excitation import Excitation, excitation_stages
from vocoder.layers.source.harmonics import HarmonicSource
from vocoder.layers.source.pitch import PitchNet
from vocoder.layers.stack import WaveNetStack
from vocoder.models.base import FlowVocoder
from vocoder.models.waveglow_config import WaveGlowConfig
from vocoder.packing import Packing, silenced
from vocoder.stages import MEL, NOISE, Stage, Z, windowed

__all__ = ["WaveGlow"]

MATRIX_STEP_SCALE = 0.1
CONDITION = "condition"


class WaveGlow(FlowVocoder):
    """A flow between audio x (B, T) and noise z (B, C, steps) given a natural-log mel (B, n_mels, frames).

    T = frames * hop_length and C * steps = T. Both directions take one parallel pass. (Prenger, Valle, Catanzaro,
    "WaveGlow: A flow-based generative network for speech synthesis", 2018; as a second configuration of the same
    class a lapped transform and a mel-conditioned element-wise flow come first and the condition stays at frame rate.)
    """

    config: WaveGlowConfig

    def __init__(self, config: WaveGlowConfig) -> None:
        super().__init__()
        self.config = config
        size = config.group_size
        self.transform: Flow = LappedTransform(size) if config.transform == "mdct" else Grouping(size)
        self.envelope: ConditionalAffine | None = None
        if config.transform == "mdct":
            self.envelope = ConditionalAffine(size, config.n_mels, log_s_floor=config.envelope_floor)
        self.condition = _conditioner(config)
        self.actnorms = nn.ModuleList(ActNorm(channels) for channels in self._channels() if config.actnorm)
        self.convinv = nn.ModuleList()
        self.couplings = nn.ModuleList()
        mixing = torch.eye(size)
        for i, channels in enumerate(self._channels()):
            conv = _mixing(config, channels, i)
            self.convinv.append(conv)
            self.couplings.append(_coupling(config, channels, i))
            if config.source is not None:
                mixing = conv.matrix().detach() @ mixing
        self.pitch = PitchNet(config.n_mels, config.source.pitch) if config.source else None
        self.excitation = Excitation(config.cond_channels, size, mixing) if config.source else None

    def forward(self, x: Tensor, mel: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map audio x (B, T) and the mel (B, n_mels, frames) to `(z, log_det)`."""
        mel = self.given(mel)[MEL]
        if x.shape[1] != mel.shape[2] * self.config.hop_length:
            raise ValueError(
                f"audio of {x.shape[1]} samples does not fit a mel of {mel.shape[2]} frames: "
                f"give {self.config.hop_length} samples for each frame"
            )
        z, log_det = self.transform(x.unsqueeze(1))
        if self.envelope is not None:
            z, step = self.envelope(z, self.envelope_condition(mel))
            log_det = log_det + step
        condition = self.condition(mel)
        early: list[Tensor] = []
        for i, (conv, coupling) in enumerate(zip(self.convinv, self.couplings, strict=True)):
            if self._exits_before(i):
                exit_, z = torch.split(z, [self.config.early_size, z.shape[1] - self.config.early_size], dim=1)
                early.append(exit_)
            if self.config.actnorm:
                z, step = self.actnorms[i](z)
                log_det = log_det + step
            z, mixing_log_det = conv(z)
            z, coupling_log_det = coupling(z, condition)
            log_det = log_det + mixing_log_det + coupling_log_det
        return torch.cat([*early, z], dim=1), log_det

    def stages(self, sigma: float | Tensor | None = None, packing: Packing | None = None) -> list[Stage]:
        """Return the stages from mel and noise to audio (B, 1, T): one for each flow, the one nearest the noise first.

        With `packing`, the batch is a row of several utterances; the log-determinant is then of no meaning.
        """
        gaps = None if packing is None else packing.gaps(self._steps_per_frame)
        stages = [self._conditioning(packing), *self._prior(sigma, packing)]
        before, after = (self._frames(steps) for steps in self.config.stack.context)
        for i in reversed(range(self.config.flows)):
            inputs = (stages[-1].output, CONDITION, Z) if self._exits_before(i) else (stages[-1].output, CONDITION)
            undo = windowed(partial(self._undo, i, gaps))
            stages.append(Stage(f"flow {i}", inputs, undo, before, after))
        overlap = 0
        if self.envelope is not None:
            reach, overlap = self._frames(self.envelope.kernel_size // 2), 1
            spectrum = windowed(partial(self._shaped, self.envelope, gaps))
            stages.append(Stage("spectrum", (stages[-1].output, MEL), spectrum, reach, reach))
        audio = windowed(lambda x: self._transformed(x, True, packing))
        return [*stages, Stage("x", (stages[-1].output,), audio, overlap, overlap)]

    def _conditioning(self, packing: Packing | None) -> Stage:
        gaps = None if packing is None else packing.gaps()
        if isinstance(self.condition, MelEncoder):
            before = after = self.condition.context
        else:
            before, after = (self.config.upsample_kernel - 1) // self.config.hop_length, 0
        return Stage(CONDITION, (MEL,), windowed(lambda mel: self.condition(mel, gaps)), before, after)

    def _prior(self, sigma: float | Tensor | None, packing: Packing | None) -> list[Stage]:
        config = self.config
        sigma = config.sigma if sigma is None else sigma
        if self.excitation is None or self.pitch is None or config.source is None:
            return [Stage(Z, (NOISE,), windowed(lambda noise: sigma * noise))]
        source = HarmonicSource(config.hop_length, config.sample_rate, config.source.f_max, packing)
        transform = partial(self._transformed, inverse=False, packing=packing)
        return excitation_stages(self.pitch, source, transform, self.excitation, CONDITION, sigma, packing)

    def _undo(self, i: int, gaps: Tensor | None, x: Tensor, condition: Tensor, *z: Tensor) -> tuple[Tensor, Tensor]:
        """Take flow number `i` back; the channels of z that left before it come in again."""
        coupling, conv = self.couplings[i], self.convinv[i]
        assert isinstance(coupling, AffineCoupling | AdditiveCoupling)
        assert isinstance(conv, InvertibleConv1x1 | Permutation)
        if i == self.config.flows - 1:
            x = x[:, self._exits(i) :]
        x, log_det = coupling.inverse(x, condition, gaps)
        x, change = conv.inverse(x)
        log_det = log_det + change
        if self.config.actnorm:
            actnorm = self.actnorms[i]
            assert isinstance(actnorm, ActNorm)
            x, change = actnorm.inverse(x)
            log_det = log_det + change
        return (torch.cat([z[0][:, self._exits(i - 1) : self._exits(i)], x], dim=1) if z else x), log_det

    def _shaped(
        self, envelope: ConditionalAffine, gaps: Tensor | None, x: Tensor, mel: Tensor
    ) -> tuple[Tensor, Tensor]:
        return envelope.inverse(x, silenced(self.envelope_condition(mel), gaps))

    def log_prob(self, x: Tensor, mel: Tensor) -> Tensor:
        """Return the log-density of audio x (B, T) in nats, (B,), the constant of the normal included."""
        z, log_det = self(x, mel)
        energy: Tensor = z.square().sum(dim=(1, 2))
        log_prob: Tensor = log_det - 0.5 * (energy + math.log(2 * math.pi) * z[0].numel())
        return log_prob

    def noise_shape(self, batch: int, frames: int) -> tuple[int, int, int]:
        """Return (B, C, steps) of the noise for a mel of that many frames."""
        return batch, self.config.group_size, frames * self.config.hop_length // self.config.group_size

    @property
    def gap(self) -> int:
        """Number of mel frames between utterances in a row: as many as the widest of all layers sees to one side."""
        config = self.config
        steps = max(config.stack.dilations) * (config.stack.kernel_size - 1)
        steps = steps if config.stack.causal else max(steps // 2, 1)
        frames = -(-steps * config.group_size // config.hop_length)
        if isinstance(self.condition, MelEncoder):
            frames = max(frames, self.condition.kernel_size // 2)
        else:
            frames = max(frames, -(-config.upsample_kernel // config.hop_length) - 1)
        pitch = config.source.pitch.widest if config.source else 0
        return max(frames, pitch, 1)

    def _transformed(self, x: Tensor, inverse: bool, packing: Packing | None) -> Tensor:
        """Transform audio (B, 1, T) to (B, C, steps) or back, each utterance of a row for itself."""
        transform = self.transform
        if packing is not None and isinstance(transform, LappedTransform):
            edges = packing.edges(self._steps_per_frame)
            return transform.inverse(x, edges=edges)[0] if inverse else transform(x, edges=edges)[0]
        return transform.inverse(x)[0] if inverse else transform(x)[0]

    @property
    def _steps_per_frame(self) -> int:
        return self.config.hop_length // self.config.group_size

    def _channels(self) -> list[int]:
        return [self.config.group_size - self._exits(i) for i in range(self.config.flows)]

    def _exits(self, i: int) -> int:
        """Return how many channels leave before flow number `i` or an earlier one."""
        every = self.config.early_every
        return self.config.early_size * (max(i, 0) // every) if every else 0

    def _exits_before(self, i: int) -> bool:
        return self._exits(i) > self._exits(i - 1)

    def _frames(self, steps: int) -> int:
        """Return how many frames hold so many steps."""
        return -(-steps // self._steps_per_frame)

    def envelope_condition(self, mel: Tensor) -> Tensor:
        """Return what the element-wise flow sees: the centred mel at the rate of the steps."""
        return normalised(mel).repeat_interleave(self.config.hop_length // self.config.group_size, dim=2)


def _mixing(config: WaveGlowConfig, channels: int, flow: int) -> InvertibleConv1x1 | Permutation:
    if config.mixing == "reversal":
        return reversal(channels)
    if config.mixing == "shuffle":
        return shuffle(channels, seed=flow)
    step_scale = 1.0 if config.transform == "grouping" else MATRIX_STEP_SCALE
    return InvertibleConv1x1(channels, swap(channels, flow) if config.mixing == "swap" else None, step_scale)


def _coupling(config: WaveGlowConfig, channels: int, flow: int) -> AffineCoupling | AdditiveCoupling:
    changed = channels // 2
    outputs = changed if config.coupling == "additive" else 2 * changed
    stack = WaveNetStack(channels - changed, outputs, config.cond_channels, config.stack)
    if config.coupling == "additive":
        return AdditiveCoupling(stack)
    return AffineCoupling(stack, config.log_s_bound, config.alternate_halves and flow % 2 == 1)


def _conditioner(config: WaveGlowConfig) -> nn.Module:
    if config.conditioning == "frames":
        return MelEncoder(config.n_mels, config.cond_channels)
    return MelUpsampler(config.n_mels, config.hop_length, config.upsample_kernel, config.group_size)
