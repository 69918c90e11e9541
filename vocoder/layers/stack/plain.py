"""The gated stack in plain operations, in one pass or step by step: any device and dtype, differentiable, traceable."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.stages import silenced

Pair = tuple[Tensor, Tensor]
"""weight (out, in, 1, kernel) and bias (out,)"""
Affine = tuple[Tensor, Tensor]
"""matrix (outputs, inputs) and bias (outputs,)"""


@dataclass(frozen=True)
class StackWeights:
    """Weight and bias of every convolution."""

    start: Pair
    """from the input to the hidden channels"""
    gates: tuple[Pair, ...]
    """dilated convolution of each layer to the channels of tanh and then sigmoid"""
    res_skip: tuple[Pair, ...]
    """from the gated channels of each layer to residual and then skip channels; the last layer has no residual"""
    end: Pair
    """to the outputs"""
    dilations: tuple[int, ...]
    """dilation of each layer in steps"""
    cond: tuple[Pair, ...]
    """from the condition to the gates of each layer; empty for a stack without a condition"""
    causal: bool = True
    """whether no layer depends on later steps"""
    middle: Pair | None = None
    """layer between two ReLUs, from the sum of skips to the input of `end`; None if there is none"""

    @property
    def hidden(self) -> int:
        """Number of channels of the hidden signal."""
        return self.start[0].shape[0]

    @property
    def past(self) -> int:
        """Number of taps before the current step in each layer of a causal stack."""
        return self.gates[0][0].shape[3] - 1


def check_condition(cond: Tensor | None, wanted: bool) -> None:
    """Raise a ValueError if a condition is missing or not expected."""
    if wanted != (cond is not None):
        raise ValueError("give a condition if, and only if, the stack has condition channels")


def pair_of(layer: nn.Module) -> Pair:
    """Return weight and bias of a convolution."""
    assert isinstance(layer, nn.Conv2d)
    bias = layer.weight.new_zeros(layer.out_channels) if layer.bias is None else layer.bias
    return layer.weight, bias


def as_matrix(pair: Pair) -> Affine:
    """Return a convolution as a matrix (outputs, taps * inputs), oldest tap first."""
    weight, bias = pair
    return weight.detach().squeeze(2).transpose(1, 2).flatten(1), bias.detach()


def plain_stack(
    weights: StackWeights, dtype: torch.dtype, x: Tensor, shares: Iterable[Tensor] = (), gaps: Tensor | None = None
) -> Tensor:
    """Map x (B, in_channels, T) to (B, out_channels, T), computed in `dtype`.

    It works on (B, C, 1, T) in `channels_last` memory, several times faster than (B, C, T) on CPUs.

    The `shares` (B, 2 * C, 1, frames) are the condition's contributions to the gates of each layer. The input of every
    convolution is zero at the steps `gaps`.
    """
    hidden = silenced(convolved(weights.start, as_image(x, dtype)), gaps)
    width, added = hidden.shape[1], iter(shares)
    skip: Tensor | None = None
    for gate, res_skip, dilation in zip(weights.gates, weights.res_skip, weights.dilations, strict=True):
        gates, share = _dilated(gate, hidden, dilation, weights.causal), next(added, None)
        tanh, sigmoid = (gates if share is None else _add_at_frame_rate(gates, share)).chunk(2, dim=1)
        out = convolved(res_skip, torch.tanh(tanh) * torch.sigmoid(sigmoid))
        if res_skip is not weights.res_skip[-1]:
            residual, out = torch.split(out, [width, out.shape[1] - width], dim=1)
            hidden = silenced(hidden + residual, gaps)
        skip = out if skip is None else skip + out
    assert skip is not None
    if weights.middle is not None:
        skip = F.relu(convolved(weights.middle, F.relu(skip)))
    return convolved(weights.end, skip).squeeze(2)


def as_image(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return signals (B, C, T) as (B, C, 1, T) in `channels_last` memory."""
    return x.unsqueeze(2).to(dtype=dtype, memory_format=torch.channels_last)


def convolved(pair: Pair, x: Tensor, padding: int = 0, dilation: int = 1) -> Tensor:
    """Convolve x (B, C, 1, T), in its dtype."""
    weight, bias = pair
    return F.conv2d(x, weight.to(x.dtype), bias.to(x.dtype), padding=(0, padding), dilation=(1, dilation))


def _dilated(pair: Pair, x: Tensor, dilation: int, causal: bool) -> Tensor:
    reach = (pair[0].shape[3] - 1) * dilation
    if causal:
        return convolved(pair, F.pad(x, (reach, 0)) if reach else x, dilation=dilation)
    return convolved(pair, x, reach // 2, dilation)


def _add_at_frame_rate(gates: Tensor, share: Tensor) -> Tensor:
    batch, channels, _, length = gates.shape
    frames = share.shape[3]
    if frames == length:
        return gates + share
    framed = gates.permute(0, 2, 3, 1).reshape(batch, frames, length // frames, channels)
    framed = framed + share.permute(0, 3, 2, 1)
    return framed.reshape(batch, 1, length, channels).permute(0, 3, 1, 2)


@torch.no_grad()
def gate_offsets(weights: StackWeights, cond: Tensor | None, batch: int) -> Tensor:
    """Return the contributions of condition (B, cond_channels, positions) and biases to the gates of each layer.

    They are (positions, layers, B, channels of tanh and sigmoid) in the dtype of the weights, with one position if
    there is no condition. Raises a ValueError if the condition is missing or not expected.
    """
    check_condition(cond, bool(weights.cond))
    biases = torch.stack([bias for _, bias in weights.gates])
    if cond is None:
        return biases[None, :, None].expand(-1, -1, batch, -1)
    weight, bias = (torch.cat(parts) for parts in zip(*map(as_matrix, weights.cond), strict=True))
    projected = F.linear(cond.to(weight.dtype).transpose(1, 2), weight, bias)
    return (projected.reshape(*projected.shape[:2], *biases.shape) + biases).permute(1, 2, 0, 3)


class StackStepper:
    """Runs a causal stack step by step, with the same outputs as the parallel pass.

    Each layer keeps a ring of its last inputs. It computes in the dtype of the weights.
    """

    def __init__(self, weights: StackWeights, batch: int) -> None:
        self._weights = weights
        self._start, self._end = as_matrix(weights.start), as_matrix(weights.end)
        self._middle = None if weights.middle is None else as_matrix(weights.middle)
        self._gates = [as_matrix(pair)[0] for pair in weights.gates]  # the offsets include their biases
        self._res_skip = [as_matrix(pair) for pair in weights.res_skip]
        self._time = 0
        self._rings = [self._start[0].new_zeros(weights.past * d, batch, weights.hidden) for d in weights.dilations]

    def __call__(self, x: Tensor, offsets: Tensor) -> Tensor:
        """Map the next input (B, in_channels) to its output (B, out_channels), with the `gate_offsets` of this step."""
        weights, skip = self._weights, None
        hidden = F.linear(x.to(self._start[0].dtype), *self._start)
        for i, (ring, dilation) in enumerate(zip(self._rings, weights.dilations, strict=True)):
            slots = [(self._time + tap * dilation) % len(ring) for tap in range(weights.past)]
            taps = torch.cat([*(ring[slot] for slot in slots), hidden], dim=1)
            if slots:
                ring[slots[0]] = hidden
            tanh, sigmoid = (offsets[i] + F.linear(taps, self._gates[i])).chunk(2, dim=1)
            out = F.linear(torch.tanh(tanh) * torch.sigmoid(sigmoid), *self._res_skip[i])
            if i < len(self._rings) - 1:
                hidden, out = hidden + out[:, : weights.hidden], out[:, weights.hidden :]
            skip = out if skip is None else skip + out
        self._time += 1
        assert skip is not None
        if self._middle is not None:
            skip = F.relu(F.linear(F.relu(skip), *self._middle))
        return F.linear(skip, *self._end)
