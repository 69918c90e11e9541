"""The gated stack in plain operations: any device and dtype, differentiable any number of times, traceable."""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from vocoder.layers.stack.weights import Pair, StackWeights
from vocoder.packing import silenced


def plain_stack(
    weights: StackWeights,
    dtype: torch.dtype,
    x: Tensor,
    shares: Iterable[Tensor] | None = None,
    gaps: Tensor | None = None,
) -> Tensor:
    """Map x (B, in_channels, T) to (B, out_channels, T), computed in `dtype`.

    It works on (B, C, 1, T) in `channels_last` memory, several times faster than (B, C, T) on CPUs.

    The `shares` are what the condition adds before the gates of each layer, (B, 2 * C, 1, frames), and every
    convolution sees zeros at the steps `gaps`.
    """
    hidden = silenced(convolved(weights.start, as_image(x, dtype)), gaps)
    width, added = hidden.shape[1], iter(() if shares is None else shares)
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
