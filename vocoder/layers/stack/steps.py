"""A causal gated stack one step at a time, each layer remembering just what it will need."""

import torch
from torch import Tensor
from torch.nn import functional as F

from vocoder.layers.stack.weights import CausalStack, StackWeights, as_matrix


@torch.no_grad()
def gate_offsets(stack: CausalStack, cond: Tensor | None, batch: int) -> Tensor:
    """Return what condition (B, cond_channels, positions) and biases add before the gates of each layer.

    (positions, layers, B, channels of tanh and sigmoid) in the dtype of the weights; one position where there is no
    condition. Raises a ValueError if the condition is missing, or there should be none.
    """
    biases, pair = torch.stack([bias for _, bias in stack.weights().gates]), stack.cond_weights()
    if (pair is None) != (cond is None):
        raise ValueError("a stack with condition channels needs its condition, and only such a stack")
    if pair is None or cond is None:
        return biases[None, :, None].expand(-1, -1, batch, -1)
    weight, bias = as_matrix(pair)
    projected = F.linear(cond.to(weight.dtype).transpose(1, 2), weight, bias)
    return (projected.reshape(*projected.shape[:2], *biases.shape) + biases).permute(1, 2, 0, 3)


class StackStepper:
    """Feed a causal stack step by step; the outputs are those of its parallel pass.

    Each layer keeps a ring of its last inputs. It computes in the dtype of the weights.
    """

    def __init__(self, weights: StackWeights, batch: int) -> None:
        self._weights = weights
        self._start, self._end = as_matrix(weights.start), as_matrix(weights.end)
        self._middle = None if weights.middle is None else as_matrix(weights.middle)
        self._gates = [as_matrix(pair)[0] for pair in weights.gates]  # their biases come with the offsets
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
