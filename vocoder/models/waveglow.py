"""WaveGlow: invertible 1x1 convolutions and affine couplings, conditioned on a mel."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vocoder.flows.base import Flow
from vocoder.flows.conditional import ConditionalAffine
from vocoder.flows.conv1x1 import InvertibleConv1x1
from vocoder.flows.coupling import AffineCoupling
from vocoder.flows.grouping import Grouping
from vocoder.flows.lapped import LappedTransform
from vocoder.flows.swap import swap
from vocoder.layers.excitation import Excitation
from vocoder.layers.mel_encoder import MelEncoder, normalised
from vocoder.layers.mel_upsampler import MelUpsampler
from vocoder.layers.pitch import PitchNet
from vocoder.layers.source import harmonic_source
from vocoder.layers.wavenet import WaveNetStack
from vocoder.models.waveglow_config import WaveGlowConfig

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
        self.convinv = nn.ModuleList()
        self.couplings = nn.ModuleList()
        mixing = torch.eye(size)
        step_scale = 1.0 if config.transform == "grouping" else MATRIX_STEP_SCALE
        for i, channels in enumerate(self._channels()):
            conv = InvertibleConv1x1(channels, swap(channels, i) if config.mixing == "swap" else None, step_scale)
            kept = channels - channels // 2
            stack = WaveNetStack(kept, 2 * (channels // 2), config.cond_channels, config.stack)
            self.convinv.append(conv)
            keeps_last = config.alternate_halves and i % 2 == 1
            self.couplings.append(AffineCoupling(stack, config.log_s_bound, keeps_last))
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
            z, mixing_log_det = conv(z)
            z, coupling_log_det = coupling(z, condition)
            log_det = log_det + mixing_log_det + coupling_log_det
        return torch.cat([*early, z], dim=1), log_det

    def inverse(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map noise z (B, C, steps) and the mel `cond` (B, n_mels, frames) to `(x, log_det)`."""
        mel = _required(cond)
        condition = self.condition(mel)
        log_det = z.new_zeros(z.shape[0])
        exits = sum(self._exits_before(i) for i in range(self.config.flows)) * self.config.early_size
        early, x = torch.split(z, [exits, z.shape[1] - exits], dim=1)
        for i in reversed(range(self.config.flows)):
            conv, coupling = self.convinv[i], self.couplings[i]
            assert isinstance(conv, InvertibleConv1x1)
            assert isinstance(coupling, AffineCoupling)
            x, coupling_log_det = coupling.inverse(x, condition)
            x, mixing_log_det = conv.inverse(x)
            log_det = log_det + mixing_log_det + coupling_log_det
            if self._exits_before(i):
                exits -= self.config.early_size
                early, exit_ = torch.split(early, [exits, self.config.early_size], dim=1)
                x = torch.cat([exit_, x], dim=1)
        if self.envelope is not None:
            x, step = self.envelope.inverse(x, self.envelope_condition(mel))
            log_det = log_det + step
        audio, _ = self.transform.inverse(x)
        return audio.squeeze(1), log_det

    def log_prob(self, x: Tensor, mel: Tensor) -> Tensor:
        """Return the log-density of audio x (B, T) in nats, (B,), the constant of the normal included."""
        z, log_det = self(x, mel)
        energy: Tensor = z.square().sum(dim=(1, 2))
        log_prob: Tensor = log_det - 0.5 * (energy + math.log(2 * math.pi) * z[0].numel())
        return log_prob

    def prior(self, noise: Tensor, mel: Tensor, sigma: float | None = None) -> Tensor:
        """Turn white noise (B, C, steps) into the `z` to sample from: scaled by `sigma`, with the harmonic source."""
        sigma = self.config.sigma if sigma is None else sigma
        if self.excitation is None:
            return sigma * noise
        source, _ = self.transform(self.source(mel).unsqueeze(1))
        return self.excitation(source, noise, self.condition(mel), sigma)  # type: ignore[no-any-return]

    @torch.no_grad()
    def source(self, mel: Tensor) -> Tensor:
        """Return the harmonic source (B, T) that the pitch of the mel implies."""
        config = self.config
        if self.pitch is None or config.source is None:
            raise ValueError("this WaveGlow has no harmonic source")
        f0, voicing = self.pitch.pitch(mel)
        source = harmonic_source(f0, voicing, config.hop_length, config.sample_rate, config.source.f_max)
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


def _conditioner(config: WaveGlowConfig) -> nn.Module:
    if config.conditioning == "frames":
        return MelEncoder(config.n_mels, config.cond_channels)
    return MelUpsampler(config.n_mels, config.hop_length, config.upsample_kernel, config.group_size)
