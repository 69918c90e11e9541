"""The gated WaveNet stack of teacher, student and couplings, and of published WaveNets."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from vocoder.config import ConfigError
from vocoder.kernels.launcher import FLOATS, kernel, takes
from vocoder.layers.product import Kept
from vocoder.layers.stack.compiled import CompiledStack
from vocoder.layers.stack.plain import StackWeights, as_image, check_condition, convolved, pair_of, plain_stack


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
            raise ConfigError(f"kernel_size must be positive, and odd unless causal, not {self.kernel_size}")

    @property
    def widths(self) -> tuple[int, int, int]:
        """Numbers of residual, gated and skip channels."""
        return (self.channels,) * 3

    @property
    def context(self) -> tuple[int, int]:
        """Context of a step's output: steps before and after it."""
        reach = (self.kernel_size - 1) * sum(self.dilations)
        return (reach, 0) if self.causal else (reach // 2, reach // 2)


@dataclass(frozen=True)
class PublishedStackConfig:
    """Shape of a published causal stack, with separate numbers of residual, gate and skip channels."""

    residual_channels: int = 128
    gate_channels: int = 128
    """channels of the product of tanh and sigmoid"""
    skip_channels: int = 128
    dilations: tuple[int, ...] = tuple(2**i for i in range(10)) * 2
    """dilation of each layer, in samples"""
    kernel_size: int = 2
    causal: ClassVar = True

    def __post_init__(self) -> None:
        sizes = (self.residual_channels, self.gate_channels, self.skip_channels, self.kernel_size)
        if min(sizes) < 1 or not self.dilations or min(self.dilations) < 1:
            raise ConfigError("a published stack needs positive channels, kernel and dilations, and at least one layer")

    @property
    def widths(self) -> tuple[int, int, int]:
        """Numbers of residual, gated and skip channels."""
        return self.residual_channels, self.gate_channels, self.skip_channels


class WaveNetStack(nn.Module):
    """Dilated convolutions with tanh-sigmoid gates, residual and skip sums (WaveNet, section 2.3; WaveGlow's WN).

    The last projection starts at zero, so that a coupling starts as the identity. A condition, if it has channels,
    enters at its own, slower rate and is broadcast over the steps of each of its frames. With frozen weights on a CPU,
    in float32 or bfloat16, a `CompiledStack` computes the stack; `plain_stack` is used for training, export and other
    devices. Both agree up to rounding.

    With a `PublishedStackConfig` there are two more layers on the sum of the skips, each after a ReLU (WaveNet, figure
    4). Its condition is projected layer by layer: it has the sample rate, and the projections of all layers would fill
    memory. Importers fold the scales that published code applies to residuals and skips into the weights. It is never
    compiled.
    """

    def __init__(
        self, in_channels: int, out_channels: int, cond_channels: int, config: WaveNetConfig | PublishedStackConfig
    ) -> None:
        super().__init__()
        (residual, gate, skip), layers = config.widths, len(config.dilations)
        self.config = config
        self.published, self.conditioned = isinstance(config, PublishedStackConfig), cond_channels > 0
        self.compute_dtype: torch.dtype | None = None
        self._kept: Kept[CompiledStack] = Kept()
        self.start = nn.Conv2d(in_channels, residual, 1)
        joined = self.conditioned and not self.published
        self.cond_layer = nn.Conv2d(cond_channels, 2 * gate * layers, 1) if joined else None
        self.in_layers = nn.ModuleList(nn.Conv2d(residual, 2 * gate, (1, config.kernel_size)) for _ in range(layers))
        each = layers if self.published else 0
        self.cond_layers = nn.ModuleList(nn.Conv2d(cond_channels, 2 * gate, 1, bias=False) for _ in range(each))
        self.res_skip_layers = nn.ModuleList(
            nn.Conv2d(gate, residual + skip if i < layers - 1 else skip, 1) for i in range(layers)
        )
        self.middle = nn.Conv2d(skip, skip, 1) if self.published else None
        self.end = nn.Conv2d(skip, out_channels, 1)
        if not self.published:
            nn.init.zeros_(self.end.weight)
            nn.init.zeros_(self.end.bias)  # type: ignore[arg-type]
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor, cond: Tensor | None = None, gaps: Tensor | None = None) -> Tensor:
        """Map x (B, in_channels, T) and cond (B, cond_channels, frames) to (B, out_channels, T).

        With B = 1 `x` may be a row of utterances, and `gaps` are the indices of the steps between them. The input of
        every convolution is zero there, as beyond the ends of a single utterance. Raises a ValueError if T is not a
        multiple of the number of condition frames, or if the condition is missing.
        """
        if cond is not None and x.shape[2] % cond.shape[2]:
            raise ValueError(f"{x.shape[2]} steps are not a multiple of {cond.shape[2]} condition frames")
        check_condition(cond, self.conditioned)
        given, parameters = (x,) if cond is None else (x, cond), tuple(self.parameters())
        dtype = self.compute_dtype or parameters[0].dtype
        frozen = not any(parameter.requires_grad for parameter in parameters)
        fits = not self.published and dtype in FLOATS and x.is_cpu and x.numel() > 0
        compilable = frozen and fits and all(map(takes, given))
        run = kernel("gate", "gated", dtype) if compilable else None
        if run is not None:
            joined = cond is not None and cond.shape[2] == x.shape[2]
            made = self._kept.of(parameters, lambda: CompiledStack(run, self.weights(), dtype, joined), dtype, joined)
            return made(x, cond, gaps)
        if not frozen:
            self._kept.drop()
        return plain_stack(self.weights(), dtype, x, self.shares(cond, dtype), gaps)

    def weights(self) -> StackWeights:
        """Return the weights of all convolutions."""
        chunks = () if self.cond_layer is None else (x.chunk(len(self.in_layers)) for x in pair_of(self.cond_layer))
        return StackWeights(
            pair_of(self.start),
            tuple(map(pair_of, self.in_layers)),
            tuple(map(pair_of, self.res_skip_layers)),
            pair_of(self.end),
            self.config.dilations,
            tuple(map(pair_of, self.cond_layers)) if self.published else tuple(zip(*chunks, strict=True)),
            self.config.causal,
            None if self.middle is None else pair_of(self.middle),
        )

    def shares(self, cond: Tensor | None, dtype: torch.dtype) -> Iterable[Tensor]:
        """Return the part (B, 2 * C, 1, frames) of each layer's gates from a condition (B, cond_channels, frames)."""
        if cond is None:
            return ()
        image = as_image(cond, dtype)
        if self.cond_layer is None:
            return (convolved(pair_of(layer), image) for layer in self.cond_layers)
        return convolved(pair_of(self.cond_layer), image).chunk(len(self.in_layers), dim=1)


def set_compute_dtype(module: nn.Module, dtype: torch.dtype | None) -> None:
    """Set the dtype in which every stack inside `module` computes; `None` is the dtype of its weights."""
    for stack in module.modules():
        if hasattr(stack, "compute_dtype"):
            stack.compute_dtype = dtype  # type: ignore[assignment]
