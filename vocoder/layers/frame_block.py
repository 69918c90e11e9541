"""A block of ConvNeXt over frames, compiled where the processor allows it."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.kernels.launcher import FLOATS, Kernel, Launch, compilable, in_turn, kernel
from vocoder.kernels.memory import DIP, EPSILON, PAIR_COLUMNS, PAIR_ROWS, PART, SIGNED, WHOLE_TILES
from vocoder.layers.product import Kept, Product, in_panels, multiplies_pairs, multiplies_quads, multiplies_tiles
from vocoder.stages import Span, silenced

Sizes = tuple[tuple[int, torch.dtype], ...]  # columns and dtypes of buffers
Mixing = tuple[Tensor, Tensor, Tensor, Tensor]
"""taps (K, C) and bias of a depthwise convolution, and gain and shift of the normalisation after it"""
VECTOR = 16  # inputs fill whole vectors of this many numbers
LEVELS = 127
SHARE = 0.5  # exponent of the inputs' sizes in the factors; the rest is that of the weights'
DEVIATIONS = 3.0  # standard deviations from the mean to the size of an input


class FrameBlock(nn.Module):
    """x + scale * contract(gelu(expand(norm(depthwise(x))))): a block of ConvNeXt over one dimension.

    (Liu et al., "A ConvNet for the 2020s", arXiv 2201.03545; Vocos, arXiv 2306.00814, is a vocoder of such blocks at
    frame rate.) The residual stays in float32, products run in their compute dtype. With frozen float32 weights on a
    CPU it is one compiled pass. The kernel covers `kernel_size` steps, `ahead` of them after the current one.
    """

    def __init__(self, channels: int, hidden: int, kernel_size: int, ahead: int, scale: float) -> None:
        super().__init__()
        self.before, self.after = kernel_size - 1 - ahead, ahead
        self.depthwise = nn.Conv1d(channels, channels, kernel_size, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=EPSILON)
        self.expand = Product(channels, hidden)
        self.contract = Product(hidden, channels)
        self.scale = nn.Parameter(torch.full((channels,), scale))
        self._kept: Kept[AtOnce | None] = Kept()

    def forward(self, x: Tensor, gaps: Tensor | None = None) -> Tensor:
        """Map (B, channels, steps) to the same shape; the convolution sees zeros at the steps `gaps`."""
        seen, x = silenced(x, gaps).transpose(1, 2), x.transpose(1, 2)
        compiled = self.compiled(x)
        if compiled is not None:
            return compiled(x.contiguous(), seen.contiguous()).transpose(1, 2)
        # The steps are a row of pixels in channels-last memory, for oneDNN.
        padded = F.pad(seen, (0, 0, self.before, self.after)).transpose(1, 2).unsqueeze(2)
        mixed = F.conv2d(padded, self.depthwise.weight.unsqueeze(2), self.depthwise.bias, groups=x.shape[2])
        moved: Tensor = self.contract(F.gelu(self.expand(self.norm(mixed.squeeze(2).transpose(1, 2)))))
        return torch.addcmul(x, moved.to(x.dtype), self.scale).transpose(1, 2)

    def compiled(self, x: Tensor) -> "AtOnce | None":
        """Return compiled code for the block's dtype and weights, if there is any for frames x."""
        if self.scale.requires_grad or not compilable(x):
            return None
        conv, norm, wide, narrow = self.depthwise, self.norm, self.expand, self.contract
        assert conv.bias is not None
        weights = (conv.weight, conv.bias, norm.weight, norm.bias, wide.weight, wide.bias, narrow.weight, narrow.bias)
        return self._kept.of((*weights, self.scale), self._arranged, wide.compute_dtype)

    def _arranged(self) -> "AtOnce | None":
        """Return compiled code with the weights arranged for it, in 8-bit integers, pairs of bfloat16, or float32."""
        dtype, inputs = self.expand.dtype, self.expand.in_features
        pairs = multiplies_pairs(dtype) and inputs % 2 == 0
        if self.scale.dtype != torch.float32 or dtype not in FLOATS:
            return None
        assert self.depthwise.bias is not None
        taps = self.depthwise.weight[:, 0].t().contiguous()
        mixing: Mixing = (taps, self.depthwise.bias, self.norm.weight, self.norm.bias)
        weights: tuple[Any, ...]
        sizes: Sizes
        if self.expand.compute_dtype == torch.int8 and multiplies_quads():
            weights, inputs, room = _block_in_quads(mixing, self.expand, self.contract, self.scale)
            sizes = (inputs, torch.uint8), (room, torch.float32), (room, torch.uint8), (PAIR_COLUMNS, torch.float32)
            tiled = multiplies_tiles(inputs, room)
            run = kernel("tiles", "block_of_integers") if tiled else kernel("quads", "block")
            most = PAIR_ROWS if tiled else PART // 4
        elif pairs or dtype == torch.float32:
            wide = in_panels(self.expand.matrix().to(dtype), self.expand.bias, inputs)
            room, columns = wide[1].numel(), wide[1].shape[1]
            narrow = in_panels(self.contract.matrix().to(dtype), self.contract.bias, room)
            if wide[0].dtype != narrow[0].dtype:
                wide, narrow = (wide[0].float(), wide[1]), (narrow[0].float(), narrow[1])
            tiled = pairs and multiplies_tiles(2 * inputs, 2 * room)
            run = kernel("tiles" if tiled else "pairs", "block") if pairs else kernel("panels", "block", wide[0].dtype)
            weights, most = (mixing, wide, narrow, self.scale), PAIR_ROWS if tiled else PART // dtype.itemsize
            sizes = (inputs, dtype), (room, dtype), (columns, torch.float32)
        else:
            return None
        return None if run is None else AtOnce(run, self.before, weights, sizes, most)


class AtOnce:
    """A block in one compiled pass, in which each thread takes up to `most` rows at once, with buffers of `sizes`."""

    def __init__(self, run: Kernel, before: int, weights: tuple[Any, ...], sizes: Sizes, most: int) -> None:
        self._run, self._before, self._sizes, self._most = run, before, sizes, most
        self._weights, self._packed = weights, run.packed(4, weights)  # which only has their addresses

    def __call__(self, x: Tensor, seen: Tensor) -> Tensor:
        """Map rows x (B, steps, channels); the convolution reads `seen`."""
        out, buffers = torch.empty_like(x), self.buffers(x.shape[0] * x.shape[1])
        self._run(*self._parts(x), self._before, x, seen, self._packed, buffers, out.flatten(0, 1))
        return out

    def launch(self, seen: Tensor, steps: slice, buffers: tuple[Tensor, ...], out: Tensor) -> Launch:
        """Return the run that writes these steps of the block of `seen` to `out`."""
        parts, before = self._parts(out), self._before - steps.start
        return self._run.launch(*parts, before, seen[:, steps], seen, self._packed, buffers, out.flatten(0, 1))

    def _parts(self, x: Tensor) -> tuple[int, int]:
        rows, threads = x.shape[0] * x.shape[1], torch.get_num_threads()
        return (threads * -(-rows // (threads * self._most)),) * 2

    def buffers(self, rows: int) -> tuple[Tensor, ...]:
        """Return the memory that a run for this many rows needs."""
        rows = -(-rows // WHOLE_TILES) * WHOLE_TILES
        return tuple(torch.empty(rows, size, dtype=dtype) for size, dtype in self._sizes)


class Blocks:
    """The stage of equally large blocks in turn, whose state is the part of their inputs that is still needed."""

    def __init__(self, blocks: Sequence[FrameBlock], gaps: Tensor | None = None) -> None:
        self._blocks, self._gaps = blocks, gaps
        self.before, self.after = max(block.before for block in blocks), sum(block.after for block in blocks)
        """context in frames: before a frame in one block, and after it in all of them"""
        self._taken = 0  # frames of the first input
        self._done = [0] * len(blocks)  # frames of each output
        self._kept: list[Tensor | None] = [None] * (len(blocks) + 1)  # the last rows (B, frames, C) of each input

    def __call__(self, span: Span, x: Tensor) -> Tensor:
        """Return the wanted frames (B, C, frames) for the windows x of the first input."""
        rows = x[:, :, self._taken - span.first :].transpose(1, 2).contiguous()
        compiled, launches, needed, ahead = self._compiled(rows, span), list[Launch](), list[Tensor](), self.after
        buffers = compiled[0].buffers(len(rows) * (rows.shape[1] + ahead)) if compiled else ()
        seen = rows if self._kept[0] is None else torch.cat([self._kept[0], rows], dim=1)
        for i, block in enumerate(self._blocks):
            ahead -= block.after
            done, self._done[i] = self._done[i], min(span.stop + ahead, span.last)
            start = min(done, block.before)
            stop = start + self._done[i] - done
            needed.append(seen[:, max(stop - block.before, 0) :])
            kept = self._kept[i + 1]
            if compiled:
                before = 0 if kept is None else kept.shape[1]
                following = rows.new_empty(len(rows), before + stop - start, rows.shape[2])
                if kept is not None:
                    following[:, :before] = kept
                launches.append(compiled[i].launch(seen, slice(start, stop), buffers, following[:, before:]))
            else:
                following = block(seen.transpose(1, 2), self._gaps)[:, :, start:stop].transpose(1, 2)
                following = following if kept is None else torch.cat([kept, following], dim=1)
            seen = following
        if compiled:
            in_turn(launches)
        self._taken, self._kept = span.last, [*(each.clone() for each in needed), None]
        return seen.transpose(1, 2)

    def _compiled(self, rows: Tensor, span: Span) -> list[AtOnce]:
        """Return compiled code for all blocks that runs without the interpreter, or nothing."""
        whole = span.start == 0 and span.stop == span.last
        if self._gaps is not None or not (whole or len(rows) == 1):
            return []
        found = [each for block in self._blocks if (each := block.compiled(rows)) is not None]
        return found if len(found) == len(self._blocks) and kernel("turns", "in_turn") is not None else []


def _block_in_quads(mixing: Mixing, wide: Product, narrow: Product, scale: Tensor) -> tuple[tuple[Any, ...], int, int]:
    """Return the weights of a block as `vocoder.kernels.quads.block` reads them, and the inputs of its two matrices.

    The matrices are filled up with zeros; the second is multiplied by `scale`. Columns of the second one make up for
    `DIP`, which is added to its inputs.

    Every output of a matrix has a step of its own, and so has every row of inputs. A few inputs that are much larger
    than the others would leave these only a few steps. Inputs are therefore divided by factors, by which the rows of
    the matrix are multiplied (SmoothQuant, arXiv 2211.10438, eq. 4); how large they get is estimated from the weights.
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
