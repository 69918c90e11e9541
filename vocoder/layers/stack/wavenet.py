"""The gated WaveNet stack of teacher, student and couplings, and that of WaveNets that were trained elsewhere."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vocoder.config import ConfigError
from vocoder.kernels.launcher import FLOATS, kernel, takes
from vocoder.layers.product import Kept
from vocoder.layers.stack.compiled import CompiledStack
from vocoder.layers.stack.plain import StackWeights, as_image, convolved, pair_of, plain_stack


@dataclass(frozen=True)
class WaveNetConfig:
    """Shape of a gated stack of dilated convolutions."""

    channels: int = 256
    """residual and skip channels"""
    dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128)
    """dilation of each layer, in steps"""
    kernel_size: int = 3
    causal: bool = False

    def __post_init__(self) -> None:
        if self.channels < 1 or not self.dilations or min(self.dilations) < 1:
            raise ConfigError("a WaveNet stack needs at least one channel and one layer with positive dilations")
        if self.kernel_size < 1 or (not self.causal and self.kernel_size % 2 == 0):
            raise ConfigError(f"a kernel of a non-causal stack must be odd and positive, not {self.kernel_size}")

    @property
    def context(self) -> tuple[int, int]:
        """Number of steps before and after a step that its output depends on."""
        reach = (self.kernel_size - 1) * sum(self.dilations)
        return (reach, 0) if self.causal else (reach // 2, reach // 2)


class WaveNetStack(nn.Module):
    """Dilated convolutions with tanh-sigmoid gates, residual and skip sums (WaveNet, section 2.3; WaveGlow's WN).

    The last projection is zero at first, so that a coupling starts as the identity. A condition, if it has channels,
    enters at its own, slower rate and is broadcast over the steps of each of its frames. With frozen weights on a CPU,
    in float32 or bfloat16, a `CompiledStack` computes it; `plain_stack` trains, exports and serves other devices. Both
    are the same function to rounding.
    """

    def __init__(self, in_channels: int, out_channels: int, cond_channels: int, config: WaveNetConfig) -> None:
        super().__init__()
        channels, layers = config.channels, len(config.dilations)
        self.config = config
        self.compute_dtype: torch.dtype | None = None
        self._kept: Kept[CompiledStack] = Kept()
        self.start = nn.Conv2d(in_channels, channels, 1)
        self.cond_layer = nn.Conv2d(cond_channels, 2 * channels * layers, 1) if cond_channels else None
        self.in_layers = nn.ModuleList(
            nn.Conv2d(channels, 2 * channels, (1, config.kernel_size)) for _ in range(layers)
        )
        self.res_skip_layers = nn.ModuleList(
            nn.Conv2d(channels, 2 * channels if i < layers - 1 else channels, 1) for i in range(layers)
        )
        self.end = nn.Conv2d(channels, out_channels, 1)
        nn.init.zeros_(self.end.weight)
        nn.init.zeros_(self.end.bias)  # type: ignore[arg-type]
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor, cond: Tensor | None = None, gaps: Tensor | None = None) -> Tensor:
        """Map x (B, in_channels, T) and cond (B, cond_channels, frames) to (B, out_channels, T).

        `gaps` are the indices of the steps between utterances that stand one after another in `x`, with B = 1. Every
        convolution sees zeros there, as beyond the ends of an utterance that stands alone. Raises a ValueError if T is
        not a multiple of the number of condition frames, or the condition is missing.
        """
        if cond is not None and x.shape[2] % cond.shape[2]:
            raise ValueError(f"{x.shape[2]} steps are no multiple of {cond.shape[2]} condition frames")
        weights, dtype = self.weights(), self.compute_dtype or self.start.weight.dtype
        weights.check(cond)
        given = (x,) if cond is None else (x, cond)
        frozen = not any(tensor.requires_grad for tensor in weights.flat())
        compilable = frozen and dtype in FLOATS and x.is_cpu and x.numel() > 0 and all(map(takes, given))
        run = kernel("gate", "gated", dtype) if compilable else None
        if run is not None:
            joined = cond is not None and cond.shape[2] == x.shape[2]
            made = self._kept.of(weights.flat(), lambda: CompiledStack(run, weights, dtype, joined), dtype, joined)
            return made(x, cond, gaps)
        if not frozen:
            self._kept.drop()
        return plain_stack(weights, dtype, x, self.shares(cond, dtype), gaps)

    def weights(self) -> StackWeights:
        """Return the weights of all convolutions."""
        layers, cond = len(self.config.dilations), self.cond_layer
        chunks = () if cond is None else (tensor.chunk(layers) for tensor in pair_of(cond))
        return StackWeights(
            pair_of(self.start),
            tuple(map(pair_of, self.in_layers)),
            tuple(map(pair_of, self.res_skip_layers)),
            pair_of(self.end),
            self.config.dilations,
            tuple(zip(*chunks, strict=True)),
            self.config.causal,
        )

    def shares(self, cond: Tensor | None, dtype: torch.dtype) -> tuple[Tensor, ...] | None:
        """Return what a condition (B, cond_channels, frames) adds before each layer's gates, (B, 2 * C, 1, frames)."""
        if cond is None or self.cond_layer is None:
            return None
        return convolved(pair_of(self.cond_layer), as_image(cond, dtype)).chunk(len(self.config.dilations), dim=1)


@dataclass(frozen=True)
class PublishedStackConfig:
    """Shape of a causal stack with widths of its own for residual, gate and skip channels."""

    residual_channels: int = 128
    gate_channels: int = 128
    """channels after tanh and sigmoid were multiplied"""
    skip_channels: int = 128
    dilations: tuple[int, ...] = tuple(2**i for i in range(10)) * 2
    """dilation of each layer, in samples"""
    kernel_size: int = 2

    def __post_init__(self) -> None:
        sizes = (self.residual_channels, self.gate_channels, self.skip_channels, self.kernel_size)
        if min(sizes) < 1 or not self.dilations or min(self.dilations) < 1:
            raise ConfigError("a published stack needs positive channels, kernel and dilations, and one layer at least")


class PublishedStack(nn.Module):
    """A first convolution, gated layers and two more layers on the sum of their skips, each after a ReLU.

    The condition has the rate of the samples and is projected layer by layer, so that no more than one layer's share
    is held at a time. Scales that published code applies to residuals and skips are folded into the weights by those
    who load them. (van den Oord et al., "WaveNet", 2016, figure 4.)
    """

    def __init__(self, in_channels: int, out_channels: int, cond_channels: int, config: PublishedStackConfig) -> None:
        super().__init__()
        residual, gate, skip = config.residual_channels, config.gate_channels, config.skip_channels
        layers = len(config.dilations)
        self.config = config
        self.compute_dtype: torch.dtype | None = None
        self.start = nn.Conv2d(in_channels, residual, 1)
        self.in_layers = nn.ModuleList(nn.Conv2d(residual, 2 * gate, (1, config.kernel_size)) for _ in range(layers))
        self.cond_layers = nn.ModuleList(nn.Conv2d(cond_channels, 2 * gate, 1, bias=False) for _ in range(layers))
        self.res_skip_layers = nn.ModuleList(
            nn.Conv2d(gate, residual + skip if i < layers - 1 else skip, 1) for i in range(layers)
        )
        self.middle = nn.Conv2d(skip, skip, 1)
        self.end = nn.Conv2d(skip, out_channels, 1)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        """Map x (B, in_channels, T) and cond (B, cond_channels, T) to (B, out_channels, T)."""
        dtype = self.compute_dtype or self.start.weight.dtype
        return plain_stack(self.weights(), dtype, x, self.shares(cond, dtype))

    def weights(self) -> StackWeights:
        """Return the weights of all convolutions."""
        return StackWeights(
            pair_of(self.start),
            tuple(map(pair_of, self.in_layers)),
            tuple(map(pair_of, self.res_skip_layers)),
            pair_of(self.end),
            self.config.dilations,
            tuple(map(pair_of, self.cond_layers)),
            middle=pair_of(self.middle),
        )

    def shares(self, cond: Tensor, dtype: torch.dtype) -> Iterator[Tensor]:
        """Yield what a condition (B, cond_channels, T) adds before the gates of each layer, (B, 2 * C, 1, T)."""
        image = as_image(cond, dtype)
        return (convolved(pair_of(layer), image) for layer in self.cond_layers)


def set_compute_dtype(module: nn.Module, dtype: torch.dtype | None) -> None:
    """Let every stack inside `module` compute in `dtype`; `None` is the dtype of its weights."""
    for stack in module.modules():
        if hasattr(stack, "compute_dtype"):
            stack.compute_dtype = dtype  # type: ignore[assignment]
