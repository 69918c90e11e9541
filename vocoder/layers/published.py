"""The layers of WaveNets that were trained elsewhere: the gated stack, and two ways of upsampling a mel."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.config import ConfigError
from vocoder.layers.stack import StepWeights, as_matrix

__all__ = ["PublishedStack", "PublishedStackConfig", "PublishedUpsampler", "UpsamplingConfig", "renamed"]


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
    front_kernel: int = 1
    """samples that the first convolution sees"""
    front_relu: bool = False

    def __post_init__(self) -> None:
        sizes = (self.residual_channels, self.gate_channels, self.skip_channels, self.kernel_size, self.front_kernel)
        if min(sizes) < 1 or not self.dilations or min(self.dilations) < 1:
            raise ConfigError(
                "a published stack needs positive channels, kernels and dilations, and one layer at least"
            )

    @property
    def reach(self) -> int:
        """Number of samples before a sample that its output depends on."""
        return self.front_kernel - 1 + (self.kernel_size - 1) * sum(self.dilations)


class PublishedStack(nn.Module):
    """A causal front convolution, gated layers and two more layers on the sum of their skips, each after a ReLU.

    The condition has the rate of the samples and is projected layer by layer, so that no more than one layer's share
    is held at a time. Scales that published code applies to residuals and skips are folded into the weights by those
    who load them. It works on (B, C, 1, T) in `channels_last` memory. (van den Oord et al., "WaveNet", 2016, figure 4.)

    Args:
        in_channels: 1 for samples, or the levels of a one-hot code.
        out_channels: channels of the output.
        cond_channels: channels of the condition.
        config: shape of the stack.
    """

    def __init__(self, in_channels: int, out_channels: int, cond_channels: int, config: PublishedStackConfig) -> None:
        super().__init__()
        residual, gate, skip = config.residual_channels, config.gate_channels, config.skip_channels
        layers = len(config.dilations)
        self.config = config
        self.compute_dtype: torch.dtype | None = None
        self.start = nn.Conv2d(in_channels, residual, (1, config.front_kernel))
        self.in_layers = nn.ModuleList(
            nn.Conv2d(residual, 2 * gate, (1, config.kernel_size), dilation=(1, dilation))
            for dilation in config.dilations
        )
        self.cond_layers = nn.ModuleList(nn.Conv2d(cond_channels, 2 * gate, 1, bias=False) for _ in range(layers))
        self.res_skip_layers = nn.ModuleList(
            nn.Conv2d(gate, residual + skip if i < layers - 1 else skip, 1) for i in range(layers)
        )
        self.middle = nn.Conv2d(skip, skip, 1)
        self.end = nn.Conv2d(skip, out_channels, 1)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        """Map x (B, in_channels, T) and cond (B, cond_channels, T) to (B, out_channels, T)."""
        config, dtype = self.config, self.compute_dtype or self.start.weight.dtype
        cond = _as_image(cond, dtype)
        hidden = _causal(self.start, _as_image(x, dtype), config.front_kernel - 1)
        hidden = F.relu(hidden) if config.front_relu else hidden
        skip: Tensor | None = None
        layers = zip(self.in_layers, self.cond_layers, self.res_skip_layers, config.dilations, strict=True)
        for in_layer, cond_layer, res_skip, dilation in layers:
            gates = _causal(in_layer, hidden, (config.kernel_size - 1) * dilation) + _causal(cond_layer, cond, 0)
            tanh, sigmoid = gates.chunk(2, dim=1)
            out = _causal(res_skip, torch.tanh(tanh) * torch.sigmoid(sigmoid), 0)
            if out.shape[1] > config.skip_channels:
                residual, out = torch.split(out, [config.residual_channels, config.skip_channels], dim=1)
                hidden = hidden + residual
            skip = out if skip is None else skip + out
        assert skip is not None
        return _causal(self.end, F.relu(_causal(self.middle, F.relu(skip), 0)), 0).squeeze(2)

    def step_weights(self) -> StepWeights:
        """Return the matrices of one step."""
        gates = tuple(as_matrix(layer)[0] for layer in self.in_layers)
        res_skip = tuple(as_matrix(layer) for layer in self.res_skip_layers)
        return StepWeights(
            self.config.dilations,
            as_matrix(self.start),
            self.config.front_relu,
            gates,
            res_skip,
            as_matrix(self.middle),
            as_matrix(self.end),
        )

    @torch.no_grad()
    def gate_shares(self, cond: Tensor | None, batch: int) -> Tensor:
        """Return what condition (B, cond_channels, T) and biases add to the gates, (B, T, layers, 2 * gate_channels).

        Raises:
            ValueError: the condition is missing.
        """
        if cond is None:
            raise ValueError("this stack needs its condition")
        weight = torch.cat([as_matrix(layer)[0] for layer in self.cond_layers])
        biases = torch.stack([layer.bias for layer in self.in_layers])  # type: ignore[misc]
        projected = F.linear(cond.to(weight.dtype).transpose(1, 2), weight, biases.flatten())
        return projected.reshape(*projected.shape[:2], *biases.shape)


def _as_image(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x.unsqueeze(2).to(dtype=dtype, memory_format=torch.channels_last)


def _causal(layer: nn.Module, x: Tensor, reach: int) -> Tensor:
    assert isinstance(layer, nn.Conv2d)
    bias = None if layer.bias is None else layer.bias.to(x.dtype)
    padded = F.pad(x, (reach, 0)) if reach else x
    return F.conv2d(padded, layer.weight.to(x.dtype), bias, dilation=layer.dilation)


@dataclass(frozen=True)
class UpsamplingConfig:
    """How a mel becomes a condition at the rate of the samples."""

    kind: Literal["stretched", "transposed"] = "transposed"
    """repeat and smooth, after a convolution over frames (r9y9), or transposed convolutions (ClariNet)"""
    scales: tuple[int, ...] = (16, 16)
    """factor of each stage; their product is hop_length"""
    context: int = 0
    """stretched: frames on each side that the convolution over frames sees"""
    bands: int = 3
    """mel bins that the kernel of a stage sees, odd"""
    slope: float = 0.4
    """transposed: of the leaky ReLU after each stage"""

    def __post_init__(self) -> None:
        if not self.scales or min(self.scales) < 1 or self.context < 0 or self.bands % 2 != 1:
            raise ConfigError("upsampling needs positive scales, a context of 0 or more and an odd number of bands")
        if self.kind == "transposed" and any(scale % 2 for scale in self.scales):
            raise ConfigError(f"scales of transposed convolutions must be even, not {self.scales}")


class PublishedUpsampler(nn.Module):
    """Bring mels (B, n_mels, frames) to the rate of the samples: (B, n_mels, frames * prod(scales)).

    Each stage is one small kernel that is moved over time and mel bins alike.

    Args:
        n_mels: mel bins.
        config: kind and factors.
    """

    def __init__(self, n_mels: int, config: UpsamplingConfig) -> None:
        super().__init__()
        self.config = config
        bands = config.bands
        self.conv_in: nn.Conv1d | None = None
        if config.kind == "stretched":
            self.conv_in = nn.Conv1d(n_mels, n_mels, 2 * config.context + 1, bias=False)
            self.stages = nn.ModuleList(
                nn.Conv2d(1, 1, (bands, 2 * scale + 1), padding=(bands // 2, scale), bias=False)
                for scale in config.scales
            )
        else:
            self.stages = nn.ModuleList(
                nn.ConvTranspose2d(1, 1, (bands, 2 * scale), (1, scale), (bands // 2, scale // 2))
                for scale in config.scales
            )

    @property
    def context(self) -> int:
        """Number of frames on each side that a sample of the condition depends on, its own frame aside."""
        reach, rate = 0.0, 1
        for scale in self.config.scales:
            reach += 1 / rate  # a stage sees one step of its input to each side
            rate *= scale
        return self.config.context + math.ceil(reach)

    def forward(self, mel: Tensor) -> Tensor:
        """Map (B, n_mels, frames) to (B, n_mels, samples); if stretched, the mel is held beyond its ends."""
        config = self.config
        given, mel = mel.dtype, mel.to(next(self.parameters()).dtype)
        if self.conv_in is not None:
            mel = self.conv_in(F.pad(mel, (config.context, config.context), mode="replicate"))
        image = mel.unsqueeze(1)
        for stage, scale in zip(self.stages, config.scales, strict=True):
            if config.kind == "stretched":
                image = stage(image.repeat_interleave(scale, dim=3))
            else:
                image = F.leaky_relu(stage(image), config.slope)
        return image.squeeze(1).to(given)


def renamed(_: nn.Module, tensors: dict[str, Any], prefix: str, *__: Any) -> None:
    """Let a model read what earlier versions wrote, where its `condition` was called `upsampling`."""
    for name in [name for name in tensors if name.startswith(f"{prefix}upsampling.")]:
        tensors[name.replace("upsampling.", "condition.", 1)] = tensors.pop(name)
