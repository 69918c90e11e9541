"""The gated stack of WaveNets that were trained elsewhere."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vocoder.config import ConfigError
from vocoder.layers.stack.plain import as_image, convolved, plain_stack
from vocoder.layers.stack.weights import Pair, StackWeights, pair_of


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
        """Return the weights of all convolutions but those of the condition."""
        return StackWeights(
            pair_of(self.start),
            tuple(map(pair_of, self.in_layers)),
            tuple(map(pair_of, self.res_skip_layers)),
            pair_of(self.end),
            self.config.dilations,
            middle=pair_of(self.middle),
        )

    def shares(self, cond: Tensor, dtype: torch.dtype) -> Iterator[Tensor]:
        """Yield what a condition (B, cond_channels, T) adds before the gates of each layer, (B, 2 * C, 1, T)."""
        image = as_image(cond, dtype)
        return (convolved(pair_of(layer), image) for layer in self.cond_layers)

    def cond_weights(self) -> Pair:
        """Return the convolution of the condition to the gates of all layers."""
        pairs = [pair_of(layer) for layer in self.cond_layers]
        return torch.cat([weight for weight, _ in pairs]), torch.cat([bias for _, bias in pairs])
