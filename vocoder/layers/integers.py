"""The weights of a block in 8-bit integers, arranged for `vocoder.kernels.quads`.

Every output of a matrix has a step of its own, and so has every row of inputs. A few inputs that are much larger than
the others would leave these only a few steps. Inputs are therefore divided by factors, by which the rows of the matrix
are multiplied (SmoothQuant, arXiv 2211.10438, eq. 4); how large inputs get is estimated from the weights alone.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from vocoder.kernels.memory import DIP, PAIR_COLUMNS, SIGNED
from vocoder.layers.product import Product, in_panels

Mixing = tuple[Tensor, Tensor, Tensor, Tensor]
"""taps (K, C) and bias of a depthwise convolution, and gain and shift of the normalisation after it"""
VECTOR = 16  # inputs fill whole vectors of this many numbers
LEVELS = 127
SHARE = 0.5  # exponent of the inputs' sizes in the factors; the rest is that of the weights'
DEVIATIONS = 3.0  # standard deviations from the mean to the size of an input


def block_in_quads(mixing: Mixing, wide: Product, narrow: Product, scale: Tensor) -> tuple[tuple[Any, ...], int, int]:
    """Return the weights of a block as `vocoder.kernels.quads.block` reads them, and the inputs of its two matrices.

    The matrices are filled up with zeros; the second is multiplied by `scale`. Columns of the second one make up for
    `DIP`, which is added to its inputs.
    """
    taps, taps_bias, gain, shift = (each.detach() for each in mixing)
    channels = len(gain)
    inputs, hidden, outputs = _up(channels, VECTOR), _up(wide.out_features, PAIR_COLUMNS), _up(channels, PAIR_COLUMNS)
    first, second = _filled(wide.matrix(), inputs, hidden), _filled(narrow.matrix(), hidden, outputs)
    bias = _filled(wide.bias, hidden)
    mean, deviation = bias + shift @ first[:channels], (first[:channels] * gain[:, None]).square().sum(0).sqrt()
    divisors = _divisors(shift.abs() + DEVIATIONS * gain.abs(), first[:channels])
    lowered = _divisors(F.gelu(mean + DEVIATIONS * deviation) + DIP, second)
    first, first_steps = _in_integers(first * _filled(divisors, inputs)[:, None])
    second, second_steps = _in_integers(second * lowered[:, None])
    zero = int(SIGNED[1]) * first.sum(0, dtype=torch.int32)
    scale, last = _filled(scale, outputs), _filled(narrow.bias, outputs)
    last = last - (DIP / lowered) @ second.float() * second_steps
    mixed = taps, taps_bias, gain / divisors, shift / divisors
    start, factors = (-zero).view(torch.float32), 1.0 / lowered
    expand = *in_panels(first, start, inputs), *map(_rows, (first_steps, bias, factors))
    contract = *in_panels(second, None, hidden), *map(_rows, (second_steps * scale, last * scale))
    return (mixed, expand, contract), inputs, hidden


def _up(count: int, step: int) -> int:
    return -(-count // step) * step


def _filled(values: Tensor, *shape: int) -> Tensor:
    """Return values in the corner of zeros of a shape."""
    rooms = (room for size, wanted in zip(values.shape, shape, strict=True) for room in (wanted - size, 0))
    return F.pad(values.detach(), tuple(rooms)[::-1])


def _divisors(sizes: Tensor, weight: Tensor) -> Tensor:
    """Return what to divide inputs of these sizes by, (inputs,), before a matrix (inputs, outputs)."""
    largest = weight.abs().amax(1).clamp_min(1e-6)
    return sizes.clamp_min(1e-3) ** SHARE / largest ** (1.0 - SHARE)


def _in_integers(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return a matrix (inputs, outputs) in integers, and the size of each output's step (outputs,)."""
    steps = weight.abs().amax(0).clamp_min(1e-30) / LEVELS
    return torch.round(weight / steps).to(torch.int8), steps


def _rows(values: Tensor) -> Tensor:
    """Return values (outputs,) in a row for each panel."""
    return values.view(-1, PAIR_COLUMNS)
