"""The learned way back of a WaveGlow: noise and mel to audio by one free network at frame rate."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from vocoder.flows.elementwise import WEIGHT_SCALE, ConditionalAffine
from vocoder.flows.lapped import LappedTransform
from vocoder.layers.conditioning import MelEncoder, normalised
from vocoder.layers.frame_block import FrameBlock
from vocoder.layers.product import Product
from vocoder.layers.source.excitation import Excitation, excitation_stages
from vocoder.layers.source.harmonics import HarmonicSource
from vocoder.layers.source.pitch import PitchNet
from vocoder.layers.spectrum import compiled_spectrum
from vocoder.models.base import Vocoder
from vocoder.models.reverse_config import ReverseConfig
from vocoder.packing import Packing, silenced
from vocoder.stages import MEL, Stage, Z, windowed

__all__ = ["Reverse"]

CONDITION, ENVELOPE, SPECTRUM = "condition", "envelope", "spectrum"


class Reverse(Vocoder):
    """A network from noise z (B, hop_length, frames) and a natural-log mel to audio x (B, frames * hop_length).

    It takes the place of the inverse of a WaveGlow over the frames of a lapped transform. The forward pass of that
    flow gives pairs of audio and noise without end, and a network that need not be invertible learns the way back
    from them (BiFlow, arXiv 2512.10953). Its noise has the flow's own prior, harmonic source included, and its last
    step the flow's mel-conditioned scale of each coefficient. It is no flow: audio has no density under it, and
    `log_det` is not a number.
    """

    config: ReverseConfig

    def __init__(self, config: ReverseConfig) -> None:
        super().__init__()
        self.config = config
        size, channels = config.hop_length, config.channels
        self.transform = LappedTransform(size)
        self.envelope = ConditionalAffine(size, config.n_mels, log_s_floor=config.envelope_floor)
        self.condition = MelEncoder(config.n_mels, config.cond_channels)
        self.pitch = PitchNet(config.n_mels, config.source.pitch)
        self.excitation = Excitation(config.cond_channels, size, torch.eye(size))
        self.start = Product(size + config.cond_channels + config.n_mels, channels)
        self.blocks = nn.ModuleList(
            FrameBlock(channels, config.hidden, config.kernel_size, ahead, 1 / config.blocks)
            for ahead in config.block_ahead
        )
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.end = Product(channels, 2 * size)
        with torch.no_grad():
            self.end.weight.mul_(0.5)
            self.end.bias.zero_()

    def forward(self, x: Tensor, mel: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Refuse to map audio to noise.

        Raises:
            NotImplementedError: always; the WaveGlow that this learnt from has this direction.
        """
        raise NotImplementedError("a reverse student only knows the way from noise to audio: ask its teacher")

    def inverse(self, z: Tensor, mel: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map noise z (B, hop_length, frames) to `(x, log_det)`, whose log_det (B,) is not a number."""
        x, log_det = super().inverse(z, mel)
        return x, torch.full_like(log_det, torch.nan)

    def stages(self, sigma: float | Tensor | None = None, packing: Packing | None = None) -> list[Stage]:
        """Return the stages from mel and noise to audio (B, 1, T): one for each block."""
        config, gaps = self.config, None if packing is None else packing.gaps()
        reach, wide = self.condition.context, self.envelope.kernel_size // 2
        sigma = config.sigma if sigma is None else sigma
        source = HarmonicSource(config.hop_length, config.sample_rate, config.source.f_max, packing)
        transform = partial(self._transformed, inverse=False, packing=packing)
        stages = [
            Stage(CONDITION, (MEL,), windowed(lambda mel: self.condition(mel, gaps)), reach, reach),
            *excitation_stages(self.pitch, source, transform, self.excitation, CONDITION, sigma, packing),
            Stage("block 0", (Z, CONDITION, MEL), windowed(self._started)),
        ]
        for i, block in enumerate(self.blocks, start=1):
            assert isinstance(block, FrameBlock)
            apply = windowed(partial(_applied, block, gaps))
            stages.append(Stage(f"block {i}", (stages[-1].output,), apply, block.before, block.after))
        hidden = stages[-1].output
        return [
            *stages,
            Stage(ENVELOPE, (MEL,), windowed(partial(self._envelope, gaps)), wide, wide),
            Stage(SPECTRUM, (hidden, ENVELOPE), windowed(self._spectrum)),
            Stage("x", (SPECTRUM,), windowed(partial(self._transformed, inverse=True, packing=packing)), 1, 1),
        ]

    def hidden_states(self, z: Tensor, mel: Tensor) -> list[Tensor]:
        """Return what follows each block, (B, channels, frames), and last the coefficients before their scale."""
        states, hidden = [], self._started(z, self.condition(mel), mel)
        for block in self.blocks:
            hidden = block(hidden.transpose(1, 2)).transpose(1, 2)
            states.append(hidden)
        return [*states, self._shape(hidden)]

    def audio(self, coefficients: Tensor, mel: Tensor) -> Tensor:
        """Return audio (B, T) of coefficients (B, hop_length, frames) before their scale."""
        spectrum, _ = self.envelope.inverse(coefficients, normalised(mel))
        return self.transform.inverse(spectrum)[0].squeeze(1)

    def noise_shape(self, batch: int, frames: int) -> tuple[int, int, int]:
        """Return (B, C, steps) of the noise for a mel of that many frames."""
        return batch, self.config.hop_length, frames

    @property
    def gap(self) -> int:
        """Number of mel frames between utterances in a row: as many as the widest of all layers sees to one side."""
        sides = [max(self.config.kernel_size - 1 - ahead, ahead) for ahead in self.config.block_ahead]
        return max(*sides, self.condition.kernel_size // 2, self.config.source.pitch.widest, 1)

    def _started(self, z: Tensor, condition: Tensor, mel: Tensor) -> Tensor:
        rows = torch.cat([z.transpose(1, 2), condition.transpose(1, 2), normalised(mel).transpose(1, 2)], dim=2)
        started: Tensor = self.start(rows).to(z.dtype).transpose(1, 2)
        return started

    def _envelope(self, gaps: Tensor | None, mel: Tensor) -> Tensor:
        projected: Tensor = self.envelope.projection(silenced(normalised(mel), gaps))
        return projected

    def _spectrum(self, hidden: Tensor, envelope: Tensor) -> Tensor:
        made, config = self._made(hidden), self.config
        compiled = compiled_spectrum(made, envelope, WEIGHT_SCALE, config.log_gain_bound, config.envelope_floor)
        if compiled is not None:
            return compiled
        t, log_scale = self.envelope.parts(envelope)
        return (self._bounded(made.to(hidden.dtype)) + t) * torch.exp(log_scale)

    def _shape(self, hidden: Tensor) -> Tensor:
        """Return the coefficients (B, hop_length, frames), before their scale, of the last hidden state."""
        return self._bounded(self._made(hidden).to(hidden.dtype))

    def _made(self, hidden: Tensor) -> Tensor:
        """Return value and logarithm of the gain of each coefficient, (B, frames, 2 * hop_length)."""
        made: Tensor = self.end(self.norm(hidden.transpose(1, 2)))
        return made

    def _bounded(self, made: Tensor) -> Tensor:
        value, log_gain = made.transpose(1, 2).chunk(2, dim=1)
        bound = self.config.log_gain_bound
        coefficients: Tensor = value * torch.exp(bound * torch.tanh(log_gain / bound))
        return coefficients

    def _transformed(self, x: Tensor, inverse: bool, packing: Packing | None) -> Tensor:
        """Transform audio (B, 1, T) to (B, C, frames) or back, each utterance of a row for itself."""
        edges = None if packing is None else packing.edges()
        turn = self.transform.inverse if inverse else self.transform.forward
        return turn(x, edges=edges)[0]


def _applied(block: FrameBlock, gaps: Tensor | None, x: Tensor) -> Tensor:
    """Apply a block to (B, channels, frames)."""
    hidden: Tensor = block(x.transpose(1, 2), gaps)
    return hidden.transpose(1, 2)
