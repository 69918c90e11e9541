"""The gated stack in plain operations, in one pass or step by step: any device and dtype, differentiable, traceable."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.config import Checked, Count, Rules
from vocoder.stages import silenced

Affine = tuple[Tensor, Tensor]  # matrix (outputs, inputs) and bias (outputs,)


@dataclass(frozen=True)
class WaveNetConfig(Checked):
    """Shape of a gated stack of dilated convolutions."""

    channels: Count = 256  # residual and skip channels
    dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128)  # dilation of each layer, in steps
    kernel_size: Count = 3
    causal: bool = False

    def _rules(self) -> Rules:
        yield min(self.dilations, default=0) > 0, "a WaveNet stack needs at least one layer, and positive dilations"
        odd = self.causal or self.kernel_size % 2 == 1
        yield odd, f"kernel_size must be odd unless causal, not {self.kernel_size}"

    @property
    def context(self) -> tuple[int, int]:
        """Context of a step's output: steps before and after it."""
        reach = (self.kernel_size - 1) * sum(self.dilations)
        return (reach, 0) if self.causal else (reach // 2, reach // 2)


@dataclass(frozen=True)
class PublishedStackConfig(Checked):
    """Shape of a published causal stack, with separate numbers of residual, gate and skip channels."""

    residual_channels: Count = 128
    gate_channels: Count = 128  # channels of the product of tanh and sigmoid
    skip_channels: Count = 128
    dilations: tuple[int, ...] = tuple(2**i for i in range(10)) * 2  # dilation of each layer, in samples
    kernel_size: Count = 2
    causal: ClassVar = True

    def _rules(self) -> Rules:
        yield min(self.dilations, default=0) > 0, "a published stack needs at least one layer, and positive dilations"


class PlainStack(nn.Module):
    """The layers of a stack, on (B, C, 1, T) in `channels_last` memory: several times faster than (B, C, T) on CPUs."""

    def __init__(
        self, in_channels: int, out_channels: int, cond_channels: int, config: WaveNetConfig | PublishedStackConfig
    ) -> None:
        super().__init__()
        if isinstance(config, PublishedStackConfig):
            residual, gate, skip = config.residual_channels, config.gate_channels, config.skip_channels
        else:
            residual = gate = skip = config.channels
        layers = len(config.dilations)
        self.config = config
        self.published, self.conditioned = isinstance(config, PublishedStackConfig), cond_channels > 0
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

    def plain(self, dtype: torch.dtype, x: Tensor, cond: Tensor | None = None, gaps: Tensor | None = None) -> Tensor:
        """Compute `WaveNetStack.forward` in `dtype`."""
        hidden = silenced(convolved(self.start, as_image(x, dtype)), gaps)
        width, shares = hidden.shape[1], iter(self._shares(cond, dtype))
        skip: Tensor | None = None
        for gate, res_skip, dilation in zip(self.in_layers, self.res_skip_layers, self.config.dilations, strict=True):
            gates, share = convolved(gate, hidden, dilation, self.config.causal), next(shares, None)
            if share is not None:  # one for all steps of a frame
                framed = gates.permute(0, 2, 3, 1).reshape(gates.shape[0], share.shape[3], -1, gates.shape[1])
                gates = (framed + share.permute(0, 3, 2, 1)).flatten(1, 2).transpose(1, 2).unsqueeze(2)
            tanh, sigmoid = gates.chunk(2, dim=1)
            out = convolved(res_skip, torch.tanh(tanh) * torch.sigmoid(sigmoid))
            if res_skip is not self.res_skip_layers[-1]:
                residual, out = torch.split(out, [width, out.shape[1] - width], dim=1)
                hidden = silenced(hidden + residual, gaps)
            skip = out if skip is None else skip + out
        assert skip is not None
        if self.middle is not None:
            skip = F.relu(convolved(self.middle, F.relu(skip)))
        return convolved(self.end, skip).squeeze(2)

    def _shares(self, cond: Tensor | None, dtype: torch.dtype) -> Iterable[Tensor]:
        """Return the part (B, 2 * C, 1, frames) of each layer's gates from a condition (B, cond_channels, frames)."""
        if cond is None:
            return ()
        image = as_image(cond, dtype)
        if self.cond_layer is None:
            return (convolved(layer, image) for layer in self.cond_layers)
        return convolved(self.cond_layer, image).chunk(len(self.in_layers), dim=1)

    def check_condition(self, cond: Tensor | None) -> None:
        """Raise a ValueError if a condition is missing or not expected."""
        if self.conditioned != (cond is not None):
            raise ValueError("give a condition if, and only if, the stack has condition channels")


def as_matrix(layer: nn.Module) -> Affine:
    """Return a convolution as a matrix (outputs, taps * inputs), oldest tap first, and a bias, 0 if it has none."""
    assert isinstance(layer, nn.Conv2d)
    weight = layer.weight.detach().squeeze(2).transpose(1, 2).flatten(1)
    return weight, weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.detach()


def as_image(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return signals (B, C, T) as (B, C, 1, T) in `channels_last` memory."""
    return x.unsqueeze(2).to(dtype=dtype, memory_format=torch.channels_last)


def convolved(layer: nn.Module, x: Tensor, dilation: int = 1, causal: bool = False) -> Tensor:
    """Convolve x (B, C, 1, T), in its dtype, with zeros before and after it, or only before it if `causal`."""
    assert isinstance(layer, nn.Conv2d)
    bias, reach = None if layer.bias is None else layer.bias.to(x.dtype), (layer.kernel_size[1] - 1) * dilation
    x, padding = (F.pad(x, (reach, 0)), 0) if causal and reach else (x, reach // 2)
    return F.conv2d(x, layer.weight.to(x.dtype), bias, padding=(0, padding), dilation=(1, dilation))


@torch.no_grad()
def gate_offsets(stack: PlainStack, cond: Tensor | None, batch: int) -> Tensor:
    """Return the contributions of condition (B, cond_channels, positions) and biases to the gates of each layer.

    They are (positions, layers, B, channels of tanh and sigmoid) in the dtype of the weights, with one position if
    there is no condition. Raises a ValueError if the condition is missing or not expected.
    """
    stack.check_condition(cond)
    biases = torch.stack([as_matrix(layer)[1] for layer in stack.in_layers])
    if cond is None:
        return biases[None, :, None].expand(-1, -1, batch, -1)
    layers = stack.cond_layers if stack.cond_layer is None else [stack.cond_layer]
    weight, bias = (torch.cat(parts) for parts in zip(*map(as_matrix, layers), strict=True))
    projected = F.linear(cond.to(weight.dtype).transpose(1, 2), weight, bias)
    return (projected.reshape(*projected.shape[:2], *biases.shape) + biases).permute(1, 2, 0, 3)


class StackStepper:
    """Runs a causal stack step by step in the dtype of its weights; each layer keeps a ring of its last inputs."""

    def __init__(self, stack: PlainStack, batch: int) -> None:
        self._past, self._dilations = stack.config.kernel_size - 1, stack.config.dilations
        self._start, self._end = as_matrix(stack.start), as_matrix(stack.end)
        self._middle = None if stack.middle is None else as_matrix(stack.middle)
        self._gates = [as_matrix(layer)[0] for layer in stack.in_layers]  # the offsets include their biases
        self._res_skip = [as_matrix(layer) for layer in stack.res_skip_layers]
        self._time, (weight, bias) = 0, self._start
        self._rings = [weight.new_zeros(self._past * dilation, batch, len(bias)) for dilation in self._dilations]

    def __call__(self, x: Tensor, offsets: Tensor) -> Tensor:
        """Map the next input (B, in_channels) to its output (B, out_channels), with the `gate_offsets` of this step."""
        hidden, skip = F.linear(x.to(self._start[0].dtype), *self._start), None
        for i, (ring, dilation) in enumerate(zip(self._rings, self._dilations, strict=True)):
            slots = [(self._time + tap * dilation) % len(ring) for tap in range(self._past)]
            taps = torch.cat([*(ring[slot] for slot in slots), hidden], dim=1)
            if slots:
                ring[slots[0]] = hidden
            tanh, sigmoid = (offsets[i] + F.linear(taps, self._gates[i])).chunk(2, dim=1)
            out = F.linear(torch.tanh(tanh) * torch.sigmoid(sigmoid), *self._res_skip[i])
            if i < len(self._rings) - 1:
                width = hidden.shape[1]
                hidden, out = hidden + out[:, :width], out[:, width:]
            skip = out if skip is None else skip + out
        self._time += 1
        assert skip is not None
        if self._middle is not None:
            skip = F.relu(F.linear(F.relu(skip), *self._middle))
        return F.linear(skip, *self._end)
