"""The gated stack of published autoregressive WaveNets, with all in which it differs from ours."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.config import ConfigError
from vocoder.layers.stack import StepWeights, as_matrix

__all__ = ["PublishedStack", "PublishedStackConfig"]


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
