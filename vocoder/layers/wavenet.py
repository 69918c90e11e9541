"""The gated WaveNet stack that teacher, student and couplings share."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.config import ConfigError
from vocoder.layers.published_stack import PublishedStack
from vocoder.packing import silenced

__all__ = ["WaveNetConfig", "WaveNetStack", "set_compute_dtype"]


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

    It works on (B, C, 1, T) in `channels_last` memory, several times faster than (B, C, T) on CPUs. The last
    projection is zero at first, so that a coupling starts as the identity. The condition enters at its own, slower
    rate and is broadcast over the steps of each of its frames.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        cond_channels: channels of the condition; 0 for none.
        config: shape of the stack.
    """

    def __init__(self, in_channels: int, out_channels: int, cond_channels: int, config: WaveNetConfig) -> None:
        super().__init__()
        channels, layers = config.channels, len(config.dilations)
        self.config = config
        self.compute_dtype: torch.dtype | None = None
        self.start = nn.Conv2d(in_channels, channels, 1)
        self.cond_layer = nn.Conv2d(cond_channels, 2 * channels * layers, 1) if cond_channels else None
        self.in_layers = nn.ModuleList(
            nn.Conv2d(channels, 2 * channels, (1, config.kernel_size), dilation=(1, dilation))
            for dilation in config.dilations
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

        Args:
            x: the input.
            cond: the condition.
            gaps: indices of the steps between utterances that stand one after another in `x`. Every convolution sees
                zeros there, as it does beyond the ends of an utterance that stands alone.

        Raises:
            ValueError: T is not a multiple of the number of condition frames, or the condition is missing.
        """
        dtype = self.compute_dtype or self.start.weight.dtype
        hidden = silenced(_conv(self.start, _as_image(x, dtype)), gaps)
        conds = self._conditions(x, cond, dtype)
        skip: Tensor | None = None
        for i, (in_layer, res_skip) in enumerate(zip(self.in_layers, self.res_skip_layers, strict=True)):
            gates = self._dilated(in_layer, hidden, self.config.dilations[i])
            if conds is not None:
                gates = _add_at_frame_rate(gates, conds[i])
            tanh, sigmoid = gates.chunk(2, dim=1)
            out = _conv(res_skip, torch.tanh(tanh) * torch.sigmoid(sigmoid))
            if i < len(self.in_layers) - 1:
                residual, out = out.chunk(2, dim=1)
                hidden = silenced(hidden + residual, gaps)
            skip = out if skip is None else skip + out
        assert skip is not None
        return _conv(self.end, skip).squeeze(2)

    def _conditions(self, x: Tensor, cond: Tensor | None, dtype: torch.dtype) -> tuple[Tensor, ...] | None:
        if self.cond_layer is None:
            return None
        if cond is None:
            raise ValueError("this stack needs its condition")
        if x.shape[2] % cond.shape[2]:
            raise ValueError(f"{x.shape[2]} steps are no multiple of {cond.shape[2]} condition frames")
        return _conv(self.cond_layer, _as_image(cond, dtype)).chunk(len(self.in_layers), dim=1)

    def _dilated(self, layer: nn.Module, hidden: Tensor, dilation: int) -> Tensor:
        reach = (self.config.kernel_size - 1) * dilation
        if self.config.causal:
            return _conv(layer, F.pad(hidden, (reach, 0)))
        return _conv(layer, hidden, reach // 2)


def set_compute_dtype(module: nn.Module, dtype: torch.dtype | None) -> None:
    """Let every WaveNet stack inside `module` compute in `dtype`; `None` is the dtype of its weights."""
    for stack in module.modules():
        if isinstance(stack, (WaveNetStack, PublishedStack)):
            stack.compute_dtype = dtype


def _as_image(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x.unsqueeze(2).to(dtype=dtype, memory_format=torch.channels_last)


def _conv(layer: nn.Module, x: Tensor, padding: int = 0) -> Tensor:
    assert isinstance(layer, nn.Conv2d)
    bias = None if layer.bias is None else layer.bias.to(x.dtype)
    return F.conv2d(x, layer.weight.to(x.dtype), bias, padding=(0, padding), dilation=layer.dilation)


def _add_at_frame_rate(gates: Tensor, cond: Tensor) -> Tensor:
    batch, channels, _, length = gates.shape
    frames = cond.shape[3]
    if frames == length:
        return gates + cond
    framed = gates.permute(0, 2, 3, 1).reshape(batch, frames, length // frames, channels)
    framed = framed + cond.permute(0, 3, 2, 1)
    return framed.reshape(batch, 1, length, channels).permute(0, 3, 1, 2)
