"""A learned inverse of a WaveGlow: one unconstrained network at frame rate from noise and mel to audio."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.config import ConfigError, Count, NotNegativeInt, Positive
from vocoder.flows.affine import ConditionalAffine
from vocoder.flows.coupling import soft_clip
from vocoder.flows.lapped import LappedTransform
from vocoder.kernels.launcher import FLOATS, Kernel, compilable, kernel
from vocoder.kernels.memory import LANES, PART
from vocoder.layers.conditioning import MelEncoder, PitchConfig, PitchNet, normalised
from vocoder.layers.product import Kept, Product, in_pairs, multiplies_pairs
from vocoder.layers.source import Excitation, HarmonicSource, SourceConfig, Transform
from vocoder.layers.spectrum_head import SpectrumHead, SpectrumHeadConfig
from vocoder.models.base import Vocoder, VocoderConfig
from vocoder.packing import Packing
from vocoder.stages import CONDITION, MEL, TARGET, Stage, Z, silenced

ENVELOPE, SPECTRUM = "envelope", "spectrum"
EXCITATION, EXCITED, NORMED = "excitation", "excited", "normed"
EPSILON = 1e-6


@dataclass(frozen=True)
class ReverseConfig(VocoderConfig):
    """Architecture of a reverse student: a network at frame rate from noise and mel to audio.

    `hop_length` is also the hop of the lapped transform, so there is one step per frame.
    """

    cond_channels: Count = 128
    """channels of the condition"""
    condition_ahead: int = 3
    """frames after its own that the condition of a frame depends on"""
    channels: Count = 384
    """channels of the signal between the blocks"""
    hidden: Count = 1152
    """channels inside a block"""
    blocks: Count = 8
    kernel_size: int = 7
    """frames in a block's kernel"""
    ahead: int = 3
    """look-ahead in frames of all blocks together, taken by the first ones"""
    log_gain_bound: Positive = 4.0
    """soft bound of each coefficient's log-gain, in nepers"""
    envelope_floor: float = -9.4
    """soft lower bound of the element-wise flow's log-scale, as in the teacher flow"""
    source: SourceConfig = field(default_factory=lambda: SourceConfig(PitchConfig(channels=64, ahead=3)))
    """learned source of a sample's noise"""
    head: SpectrumHeadConfig | None = None
    """last step from hidden frames to audio through spectra; by default through lapped transform coefficients"""
    corrections: NotNegativeInt = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hop_length % 2:
            raise ConfigError(f"the lapped transform needs an even hop_length, not {self.hop_length}")
        if not 0 <= self.ahead <= self.blocks * (self.kernel_size - 1):
            raise ConfigError(
                f"ahead must be from 0 to {self.blocks * (self.kernel_size - 1)} for {self.blocks} blocks with kernels "
                f"of {self.kernel_size} frames, not {self.ahead}"
            )
        if not 0 <= self.condition_ahead <= 3:
            raise ConfigError(f"condition_ahead must be from 0 to 3, not {self.condition_ahead}")
        self.source.check(self.sample_rate)


class Reverse(Vocoder):
    """A network from noise z (B, hop_length, frames) and a natural-log mel to audio x (B, frames * hop_length).

    It replaces the inverse of a WaveGlow over the frames of a lapped transform. The forward pass of that flow yields
    unlimited pairs of audio and noise, from which a network that need not be invertible learns the inverse (BiFlow,
    arXiv 2512.10953). Its noise has the flow's prior, including the harmonic source. It ends in a `SpectrumHead`, which
    filters that noise in the frequency domain; models of version 0.2 end in coefficients of the lapped transform with
    the flow's mel-conditioned scales. It is not a flow, so audio has no density.
    """

    packs = True
    config: ReverseConfig

    def __init__(self, config: ReverseConfig) -> None:
        super().__init__()
        self.config = config
        size, channels = config.hop_length, config.channels
        self.noise_channels = size
        self.transform = LappedTransform(size)
        self.condition = MelEncoder(config.n_mels, config.cond_channels, config.condition_ahead)
        self.pitch = PitchNet(config.n_mels, config.source.pitch)
        self.excitation = Excitation(config.cond_channels, size, torch.eye(size))
        self.start = Product(size + config.cond_channels + config.n_mels, channels)
        each, rest = divmod(config.ahead, config.blocks)
        self.blocks = nn.ModuleList(
            FrameBlock(channels, config.hidden, config.kernel_size, each + (i < rest), 1 / config.blocks)
            for i in range(config.blocks)
        )
        self.head = None if config.head is None else SpectrumHead(config.head, channels)
        self.target = MEL if self.head is None else TARGET
        if self.head is None:
            self.envelope = ConditionalAffine(size, config.n_mels, log_s_floor=config.envelope_floor)
            self.norm = nn.LayerNorm(channels, eps=EPSILON)
            self.end = Product(channels, 2 * size)
            with torch.no_grad():
                self.end.weight.mul_(0.5)
                self.end.bias.zero_()

    def stages(self, sigma: float | Tensor | None = None, packing: Packing | None = None) -> list[Stage]:
        """Return the stages from mel and noise to audio (B, 1, T), with one stage per block."""
        config = self.config
        gaps, edges = (None, None) if packing is None else (packing.gaps(), packing.edges())
        transform, inverse = partial(self.transform, edges=edges), partial(self.transform.inverse, edges=edges)
        sigma = config.sigma if sigma is None else sigma
        source = HarmonicSource(self.pitch, config.hop_length, config.sample_rate, config.source.f_max, packing)
        stages = [
            Stage(CONDITION, (MEL,), lambda mel: self.condition(mel, gaps), *self.condition.context),
            *self.excitation.stages(source.stages(transform), sigma),
            Stage("block 0", (Z, CONDITION, MEL), self._started),
        ]
        for i, block in enumerate(self.blocks, start=1):
            assert isinstance(block, FrameBlock)
            apply = partial(block, gaps=gaps)
            stages.append(Stage(f"block {i}", (stages[-1].output,), apply, block.before, block.after))
        ends = self._coefficient_stages if self.head is None else self._spectrum_stages
        return [*stages, *ends(stages[-1].output, inverse, packing)]

    def _coefficient_stages(self, hidden: str, inverse: Transform, packing: Packing | None) -> list[Stage]:
        """Return the stages from hidden frames to audio through coefficients of the lapped transform."""
        wide, gaps = self.envelope.kernel_size // 2, None if packing is None else packing.gaps()

        def projected(mel: Tensor) -> Tensor:
            return self.envelope.projection(silenced(normalised(mel), gaps))  # type: ignore[no-any-return]

        return [
            Stage(ENVELOPE, (MEL,), projected, wide, wide),
            Stage(SPECTRUM, (hidden, ENVELOPE), self._spectrum),
            Stage("x", (SPECTRUM,), inverse, 1, 1),
        ]

    def _spectrum_stages(self, hidden: str, inverse: Transform, packing: Packing | None) -> list[Stage]:
        """Return the stages from hidden frames to audio through the spectrum of each frame."""
        head, hop_length = self.head, self.config.hop_length
        assert head is not None
        owned = None if packing is None else packing.owned()
        silent = None if packing is None else packing.gaps(hop_length)
        return [
            Stage(NORMED, (hidden,), head.normed),
            Stage(TARGET, (NORMED, MEL), head.target),
            Stage(EXCITATION, (Z,), lambda z: silenced(inverse(z)[0], silent), 1, 1),
            Stage(EXCITED, (EXCITATION,), head.analysed, head.lead, head.lead - 1),
            Stage(SPECTRUM, (NORMED, EXCITED, MEL, TARGET), head.spectrum),
            Stage("x", (SPECTRUM,), lambda made: head.audio(made, owned), head.lead - 1, head.lead),
        ]

    def _started(self, z: Tensor, condition: Tensor, mel: Tensor) -> Tensor:
        rows = torch.cat([z.transpose(1, 2), condition.transpose(1, 2), normalised(mel).transpose(1, 2)], dim=2)
        started: Tensor = self.start(rows).to(z.dtype).transpose(1, 2)
        return started

    def _spectrum(self, hidden: Tensor, envelope: Tensor) -> Tensor:
        """Return coefficients (B, hop_length, frames) from the values and gains that the last hidden frames give."""
        made: Tensor = self.end(self.norm(hidden.transpose(1, 2)))
        t, log_scale = self.envelope.parts(envelope)
        value, log_gain = made.to(hidden.dtype).transpose(1, 2).chunk(2, dim=1)
        return (value * torch.exp(soft_clip(log_gain, self.config.log_gain_bound)) + t) * torch.exp(log_scale)


class FrameBlock(nn.Module):
    """x + scale * contract(gelu(expand(norm(depthwise(x))))): a block of ConvNeXt over one dimension.

    (Liu et al., "A ConvNet for the 2020s", arXiv 2201.03545; Vocos, arXiv 2306.00814, is a vocoder of such blocks at
    frame rate.) The residual stays in float32, products run in their compute dtype. With frozen float32 weights on a
    CPU it is one compiled pass, or if a library computes the products, compiled passes compute the rest. The kernel
    covers `kernel_size` steps, `ahead` of them after the current one.
    """

    def __init__(self, channels: int, hidden: int, kernel_size: int, ahead: int, scale: float) -> None:
        super().__init__()
        self.before, self.after = kernel_size - 1 - ahead, ahead
        self.depthwise = nn.Conv1d(channels, channels, kernel_size, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=EPSILON)
        self.expand = Product(channels, hidden)
        self.contract = Product(hidden, channels)
        self.scale = nn.Parameter(torch.full((channels,), scale))
        self._kept: Kept[Callable[[Tensor, Tensor], Tensor] | None] = Kept()

    def forward(self, x: Tensor, gaps: Tensor | None = None) -> Tensor:
        """Map (B, channels, steps) to the same shape; the convolution sees zeros at the steps `gaps`."""
        seen, x = silenced(x, gaps).transpose(1, 2), x.transpose(1, 2)
        compiled = None if self.scale.requires_grad or not compilable(x) else self._compiled()
        if compiled is not None:
            return compiled(x.contiguous(), seen.contiguous()).transpose(1, 2)
        moved: Tensor = self.contract(self.expand(self.norm(self._mixed(seen)), gelu=True))
        return torch.addcmul(x, moved.to(x.dtype), self.scale).transpose(1, 2)

    def _compiled(self) -> Callable[[Tensor, Tensor], Tensor] | None:
        """Return compiled code for the block's dtype and weights, if there is any."""
        conv, norm, wide, narrow = self.depthwise, self.norm, self.expand, self.contract
        assert conv.bias is not None
        weights = (conv.weight, conv.bias, norm.weight, norm.bias, wide.weight, wide.bias, narrow.weight, narrow.bias)
        return self._kept.of((*weights, self.scale), self._arranged, wide.dtype)

    def _arranged(self) -> Callable[[Tensor, Tensor], Tensor] | None:
        dtype = self.expand.dtype
        if self.scale.dtype != torch.float32 or dtype not in FLOATS:
            return None
        assert self.depthwise.bias is not None
        mixing = (self.depthwise.weight[:, 0].t().contiguous(), self.depthwise.bias, self.norm.weight, self.norm.bias)
        if multiplies_pairs(dtype) and self.expand.in_features % 2 == 0:
            expand = in_pairs(self.expand, self.expand.in_features)
            room, run = expand[1].numel(), kernel("pairs", "block", torch.bfloat16)
            weights = (mixing, expand, in_pairs(self.contract, room), self.scale)
            return None if run is None else partial(self._at_once, run, weights, torch.bfloat16, room)
        products = self.expand.arranged(), self.contract.arranged()
        (wide, wide_bias), (narrow, narrow_bias) = ((matrix.panels, bias) for matrix, bias in products)
        if wide is not None and narrow is not None and wide.shape[1] == 2 * LANES * self.expand.in_features:
            run = kernel("block", "block", wide.dtype, narrow.dtype)
            weights = (mixing, (wide, wide_bias), (narrow, narrow_bias), self.scale)
            return None if run is None else partial(self._at_once, run, weights, dtype, self.expand.out_features)
        mixed, added = kernel("block", "mixed", dtype), kernel("block", "added", dtype)
        return None if mixed is None or added is None else partial(self._in_passes, mixed, added, mixing, products)

    def _at_once(
        self, run: Kernel, weights: tuple[Any, ...], dtype: torch.dtype, room: int, x: Tensor, seen: Tensor
    ) -> Tensor:
        """Compute the block in one pass: each thread takes some rows through all of it, with `room` values per row."""
        rows, channels = x.shape[0] * x.shape[1], x.shape[2]
        threads = torch.get_num_threads()
        parts = threads * -(-rows // (threads * (PART // dtype.itemsize)))
        buffers, out = tuple(torch.empty(rows, n, dtype=dtype) for n in (channels, room)), x.new_empty(rows, channels)
        run(parts, parts, self.before, x, seen, weights, buffers, out)
        return out.view(x.shape)

    def _in_passes(
        self, mixed: Kernel, added: Kernel, mixing: tuple[Any, ...], products: tuple[Any, ...], x: Tensor, seen: Tensor
    ) -> Tensor:
        """Compute the block with library products, and compiled passes before and after them."""
        (expand, wide_bias), (contract, narrow_bias) = products
        rows, channels = x.shape[0] * x.shape[1], x.shape[2]
        hidden = torch.empty(expand.room(rows), channels, dtype=self.expand.dtype)
        hidden[rows:].zero_()  # leftover denormal numbers would be slow
        mixed(rows, self.before, seen, mixing, hidden)
        moved = contract.times(expand.times(hidden, wide_bias, gelu=True), narrow_bias)
        out = torch.empty_like(x)
        added(rows, x.view(-1, channels), moved, self.scale, out.view(-1, channels))
        return out

    def _mixed(self, x: Tensor) -> Tensor:
        """Convolve over the steps, as a row of pixels in channels-last memory for oneDNN."""
        padded = F.pad(x, (0, 0, self.before, self.after)).transpose(1, 2).unsqueeze(2)
        weight = self.depthwise.weight.unsqueeze(2)
        mixed = F.conv2d(padded, weight, self.depthwise.bias, groups=x.shape[2])
        return mixed.squeeze(2).transpose(1, 2)
