"""WaveGlow: invertible 1x1 convolutions and affine couplings, conditioned on a mel."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vocoder.flows.actnorm import ActNorm
from vocoder.flows.base import Flow
from vocoder.flows.conditional import ConditionalAffine
from vocoder.flows.conv1x1 import InvertibleConv1x1
from vocoder.flows.coupling import AdditiveCoupling, AffineCoupling
from vocoder.flows.grouping import Grouping
from vocoder.flows.lapped import LappedTransform
from vocoder.flows.permutation import Permutation, reversal, shuffle
from vocoder.flows.swap import swap
from vocoder.layers.mel_encoder import MelEncoder, normalised
from vocoder.layers.mel_upsampler import MelUpsampler
from vocoder.layers.source.excitation import Excitation
from vocoder.layers.source.harmonics import elapsed_cycles, harmonic_source
from vocoder.layers.source.pitch import PitchNet
from vocoder.layers.stack import WaveNetStack
from vocoder.models.waveglow_config import WaveGlowConfig
from vocoder.packing import Packing, silenced

__all__ = ["WaveGlow"]

MATRIX_STEP_SCALE = 0.1


class WaveGlow(Flow):
    """A flow between audio x (B, T) and noise z (B, C, steps) given a natural-log mel (B, n_mels, frames).

    T = frames * hop_length and C * steps = T. Both directions take one parallel pass. (Prenger, Valle, Catanzaro,
    "WaveGlow: A flow-based generative network for speech synthesis", 2018; as a second configuration of the same
    class a lapped transform and a mel-conditioned element-wise flow come first and the condition stays at frame rate.)
    """

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

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map audio x (B, T) and the mel `cond` (B, n_mels, frames) to `(z, log_det)`."""
        mel = _required(cond)
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

    def inverse(self, z: Tensor, cond: Tensor | None = None, packing: Packing | None = None) -> tuple[Tensor, Tensor]:
        """Map noise z (B, C, steps) and the mel `cond` (B, n_mels, frames) to `(x, log_det)`.

        With `packing`, z and the mel are rows of several utterances, and so is x; log_det is then of no meaning.
        """
        mel = _required(cond)
        return self._decoded(z, mel, self._condition(mel, packing), packing)

    def _decoded(self, z: Tensor, mel: Tensor, condition: Tensor, packing: Packing | None) -> tuple[Tensor, Tensor]:
        gaps = None if packing is None else packing.gaps(self._steps_per_frame)
        log_det = z.new_zeros(z.shape[0])
        exits = sum(self._exits_before(i) for i in range(self.config.flows)) * self.config.early_size
        early, x = torch.split(z, [exits, z.shape[1] - exits], dim=1)
        for i in reversed(range(self.config.flows)):
            x, steps = self.undo(i, x, condition, gaps)
            log_det = sum(steps, log_det)
            if self._exits_before(i):
                exits -= self.config.early_size
                early, exit_ = torch.split(early, [exits, self.config.early_size], dim=1)
                x = torch.cat([exit_, x], dim=1)
        if self.envelope is not None:
            x, step = self.envelope.inverse(x, silenced(self.envelope_condition(mel), gaps))
            log_det = log_det + step
        audio = self._apply_transform(x, True, packing)
        return audio.squeeze(1), log_det

    def undo(self, i: int, z: Tensor, condition: Tensor, gaps: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """Take flow number `i` back, given the condition at its rate, and return what it adds to `log_det` as well."""
        coupling, conv = self.couplings[i], self.convinv[i]
        assert isinstance(coupling, AffineCoupling | AdditiveCoupling)
        assert isinstance(conv, InvertibleConv1x1 | Permutation)
        x, coupling_log_det = coupling.inverse(z, condition, gaps)
        x, mixing_log_det = conv.inverse(x)
        if not self.config.actnorm:
            return x, [mixing_log_det, coupling_log_det]
        actnorm = self.actnorms[i]
        assert isinstance(actnorm, ActNorm)
        x, scaling_log_det = actnorm.inverse(x)
        return x, [scaling_log_det, mixing_log_det, coupling_log_det]

    def log_prob(self, x: Tensor, mel: Tensor) -> Tensor:
        """Return the log-density of audio x (B, T) in nats, (B,), the constant of the normal included."""
        z, log_det = self(x, mel)
        energy: Tensor = z.square().sum(dim=(1, 2))
        log_prob: Tensor = log_det - 0.5 * (energy + math.log(2 * math.pi) * z[0].numel())
        return log_prob

    def prior(
        self, noise: Tensor, mel: Tensor, sigma: float | Tensor | None = None, packing: Packing | None = None
    ) -> Tensor:
        """Turn white noise (B, C, steps) into the `z` to sample from: scaled by `sigma`, with the harmonic source.

        `sigma` may be a tensor that broadcasts to the noise; `packing` as in `inverse`.
        """
        condition = None if self.excitation is None else self._condition(mel, packing)
        return self._excited(noise, mel, condition, sigma, packing)

    def sample(
        self, noise: Tensor, mel: Tensor, sigma: float | Tensor | None = None, packing: Packing | None = None
    ) -> Tensor:
        """Turn white noise (B, C, steps) into audio (B, T): `inverse` of `prior`, the mel encoded but once."""
        condition = self._condition(mel, packing)
        z = self._excited(noise, mel, condition, sigma, packing)
        return self._decoded(z, mel, condition, packing)[0]

    def _excited(
        self,
        noise: Tensor,
        mel: Tensor,
        condition: Tensor | None,
        sigma: float | Tensor | None,
        packing: Packing | None,
    ) -> Tensor:
        sigma = self.config.sigma if sigma is None else sigma
        if self.excitation is None:
            return sigma * noise
        source = self._apply_transform(self.source(mel, packing).unsqueeze(1), False, packing)
        return self.excitation(source, noise, condition, sigma)  # type: ignore[no-any-return]

    @torch.no_grad()
    def source(self, mel: Tensor, packing: Packing | None = None) -> Tensor:
        """Return the harmonic source (B, T) that the pitch of the mel implies; `packing` as in `inverse`."""
        config = self.config
        if self.pitch is None or config.source is None:
            raise ValueError("this WaveGlow has no harmonic source")
        f0, voicing = self.pitch.pitch(mel, None if packing is None else packing.gaps())
        cycles = None
        if packing is not None:
            f0, voicing = f0[:, packing.held()], voicing[:, packing.held()]
            cycles = packing.restarted(elapsed_cycles(f0, config.hop_length, config.sample_rate))
        source = harmonic_source(f0, voicing, config.hop_length, config.sample_rate, config.source.f_max, cycles)
        return source.to(mel.dtype)

    def noise_shape(self, batch: int, frames: int) -> tuple[int, int, int]:
        """Return (B, C, steps) of the noise for a mel of that many frames."""
        return batch, self.config.group_size, frames * self.config.hop_length // self.config.group_size

    @property
    def context(self) -> int:
        """Number of mel frames on each side that a frame of audio depends on, given z and the mel."""
        per_frame = self.config.hop_length // self.config.group_size
        steps = self.config.flows * max(self.config.stack.context)
        if self.config.transform == "mdct":
            steps += 1  # the overlap of the lapped transform
        frames = -(-steps // per_frame)
        if isinstance(self.condition, MelEncoder):
            return frames + self.condition.context
        return frames + (self.config.upsample_kernel - 1) // self.config.hop_length

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
        pitch = config.source.pitch.kernel_size // 2 if config.source else 0
        return max(frames, pitch, 1)

    def _condition(self, mel: Tensor, packing: Packing | None) -> Tensor:
        condition: Tensor = self.condition(mel) if packing is None else self.condition(mel, packing.gaps())
        return condition

    def _apply_transform(self, x: Tensor, inverse: bool, packing: Packing | None) -> Tensor:
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
        channels, sizes = self.config.group_size, []
        for i in range(self.config.flows):
            channels -= self.config.early_size if self._exits_before(i) else 0
            sizes.append(channels)
        return sizes

    def _exits_before(self, flow: int) -> bool:
        return self.config.early_every > 0 and flow > 0 and flow % self.config.early_every == 0

    def envelope_condition(self, mel: Tensor) -> Tensor:
        """Return what the element-wise flow sees: the centred mel at the rate of the steps."""
        return normalised(mel).repeat_interleave(self.config.hop_length // self.config.group_size, dim=2)


def _required(mel: Tensor | None) -> Tensor:
    if mel is None:
        raise ValueError("WaveGlow needs the mel as its condition")
    return mel


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
