"""The gated WaveNet stack of all models, compiled for frozen weights on the CPU: products in tiles and one kernel."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.kernels.launcher import FLOATS, Kernel, kernel, takes
from vocoder.kernels.memory import TILE_ROWS
from vocoder.layers.product import Kept, Matrix
from vocoder.layers.stack.plain import PlainStack, as_matrix
from vocoder.layers.stack.plain import PublishedStackConfig as PublishedStackConfig
from vocoder.layers.stack.plain import WaveNetConfig as WaveNetConfig

TILE_BYTES = 1 << 18
"""size per thread of a tile's channels, so that a layer's intermediate results stay in the second-level cache"""
STRIPE = 64  # rows that a thread of the gate kernel takes at a time
ALL = 1 << 62


class WaveNetStack(PlainStack):
    """Dilated convolutions with tanh-sigmoid gates, residual and skip sums (WaveNet, section 2.3; WaveGlow's WN).

    The last projection starts at zero, so that a coupling starts as the identity. A condition, if it has channels,
    enters at its own, slower rate and is broadcast over the steps of each of its frames. With frozen weights on a CPU,
    in float32 or bfloat16, a `CompiledStack` computes the stack; `plain` is used for training, export and other
    devices. Both agree up to rounding.

    With a `PublishedStackConfig` there are two more layers on the sum of the skips, each after a ReLU (WaveNet, figure
    4). Its condition is projected layer by layer: it has the sample rate, and the projections of all layers would fill
    memory. Importers fold the scales that published code applies to residuals and skips into the weights. It is never
    compiled.
    """

    def __init__(
        self, in_channels: int, out_channels: int, cond_channels: int, config: WaveNetConfig | PublishedStackConfig
    ) -> None:
        super().__init__(in_channels, out_channels, cond_channels, config)
        self.compute_dtype: torch.dtype | None = None
        self._kept: Kept[CompiledStack] = Kept()

    def forward(self, x: Tensor, cond: Tensor | None = None, gaps: Tensor | None = None) -> Tensor:
        """Map x (B, in_channels, T) and cond (B, cond_channels, frames) to (B, out_channels, T).

        With B = 1 `x` may be a row of utterances, and `gaps` are the indices of the steps between them. The input of
        every convolution is zero there, as beyond the ends of a single utterance. Raises a ValueError if T is not a
        multiple of the number of condition frames, or if the condition is missing.
        """
        if cond is not None and x.shape[2] % cond.shape[2]:
            raise ValueError(f"{x.shape[2]} steps are not a multiple of {cond.shape[2]} condition frames")
        self.check_condition(cond)
        given, parameters = (x,) if cond is None else (x, cond), tuple(self.parameters())
        dtype = self.compute_dtype or parameters[0].dtype
        frozen = not any(parameter.requires_grad for parameter in parameters)
        fits = not self.published and dtype in FLOATS and x.is_cpu and x.numel() > 0
        compilable = frozen and fits and all(map(takes, given))
        run = kernel("gate", "gated", dtype) if compilable else None
        if run is not None:
            joined = cond is not None and cond.shape[2] == x.shape[2]
            made = self._kept.of(parameters, lambda: CompiledStack(run, self, dtype, joined), dtype, joined)
            return made(x, cond, gaps)
        if not frozen:
            self._kept.drop()
        return self.plain(dtype, x, cond, gaps)


def set_compute_dtype(module: nn.Module, dtype: torch.dtype | None) -> None:
    """Set the dtype in which every stack inside `module` computes; `None` is the dtype of its weights."""
    for stack in module.modules():
        if hasattr(stack, "compute_dtype"):
            stack.compute_dtype = dtype  # type: ignore[assignment]


class _Layer:
    """Layer `i`; matrices are (inputs, outputs), and biases float32."""

    def __init__(self, stack: PlainStack, i: int, dtype: torch.dtype, joined: bool) -> None:
        width, layers, self.dilation = stack.start.out_channels, len(stack.in_layers), stack.config.dilations[i]
        taps, bias = as_matrix(stack.in_layers[i])
        matrix, self.bias = taps.t().to(dtype), bias.float()
        self.cond: Tensor | None = None  # from a condition at a slower rate to the gates
        if stack.cond_layer is not None:
            share, added = (part.chunk(layers)[i] for part in as_matrix(stack.cond_layer))
            share, self.bias = share.t().contiguous().to(dtype), self.bias + added.float()
            if joined:
                matrix = torch.cat([matrix, share])
            else:
                self.cond = share
        self.taps = Matrix(matrix.contiguous())  # from all taps, and a condition at the rate of the steps, to the gates
        weight, both = as_matrix(stack.res_skip_layers[i])
        end = _transposed(stack.end).to(dtype).float()
        self.out = (weight[-width:].t().to(dtype).float() @ end).to(dtype)  # skip and end in one, as both are linear
        self.residual: tuple[Tensor, Tensor] | tuple[None, None] = None, None  # matrix and bias, of all but the last
        if i < layers - 1:
            self.residual = weight[:width].t().to(dtype).contiguous(), both[:width].float().contiguous()
        span = (stack.config.kernel_size - 1) * self.dilation
        self.first = -span if stack.config.causal else -(span // 2)  # distance in steps of the first tap


class CompiledStack:
    """Computes `PlainStack.plain` with frozen weights, up to rounding.

    The steps of a signal are rows of matrices, with zeros before and after them. Residual, skip and hidden channels
    must be equal in number. `joined` says that the condition has the rate of the steps, so that it is multiplied
    together with the taps; `run` is the compiled gate for the dtype.
    """

    @torch.no_grad()
    def __init__(self, run: Kernel, stack: PlainStack, dtype: torch.dtype, joined: bool) -> None:
        self._gated, self._dtype, self._joined = run, dtype, joined
        self._width, self._taps = stack.start.out_channels, stack.config.kernel_size
        self._start = Matrix(_transposed(stack.start).to(dtype), stack.start.bias)
        self._layers = [_Layer(stack, i, dtype, joined) for i in range(len(stack.in_layers))]
        biases = [as_matrix(layer)[1][-self._width :].float() for layer in stack.res_skip_layers]
        matrix, bias = _transposed(stack.end).to(dtype).float(), as_matrix(stack.end)[1].float()
        self._out_bias = (torch.stack(biases).sum(0) @ matrix + bias).to(dtype)
        self._reach = max(max(-layer.first, 0) for layer in self._layers)

    def __call__(self, x: Tensor, cond: Tensor | None, gaps: Tensor | None = None) -> Tensor:
        """Compute `WaveNetStack.forward`."""
        made = [self._signal(x[i], None if cond is None else cond[i], gaps) for i in range(len(x))]
        return (torch.stack(made) if len(made) > 1 else made[0][None]).transpose(1, 2)

    def _signal(self, x: Tensor, cond: Tensor | None, gaps: Tensor | None) -> Tensor:
        """Map x (in_channels, T) and cond (cond_channels, frames) to rows (T, out_channels)."""
        steps, width, taps, reach = x.shape[1], self._width, self._taps, self._reach
        tiles = _tiles(steps, TILE_BYTES * torch.get_num_threads() // (width * self._dtype.itemsize))
        slow = cond is not None and not self._joined
        room = 0 if slow else _rounded(tiles[-1].stop - tiles[-1].start) - (tiles[-1].stop - tiles[-1].start)
        tiles[-1] = slice(tiles[-1].start, steps + room)  # a round number of rows; the added ones are unused
        offsets, per_frame = [layer.bias[None] for layer in self._layers], ALL
        if cond is not None and slow:
            frames, per_frame = cond.t().to(self._dtype).contiguous(), steps // cond.shape[1]
            offsets = [(frames @ layer.cond).float().add_(layer.bias) for layer in self._layers]  # type: ignore[operator]
        ends = 0, 0, 0, room
        side = F.pad(cond.t().to(self._dtype), ends) if cond is not None and self._joined else None
        hidden, following = (torch.zeros(steps + room + 2 * reach, width, dtype=self._dtype) for _ in range(2))
        hidden[reach : reach + steps + room] = self._start.times(F.pad(x.t().to(self._dtype), ends))
        out = self._out_bias.repeat(steps + room, 1)
        gated = hidden.new_empty(max(tile.stop - tile.start for tile in tiles), width)
        seen = hidden.new_zeros(len(gated), self._layers[0].taps.room)
        for layer, added in zip(self._layers, offsets, strict=True):
            hidden[reach + steps : reach + steps + room] = 0.0
            if gaps is not None:
                hidden[reach:].index_fill_(0, gaps, 0.0)
            for tile in tiles:
                count, here = tile.stop - tile.start, slice(tile.start + reach, tile.stop + reach)
                strides, first = (width, layer.dilation * width, 1), (here.start + layer.first) * width
                neighbours = hidden.as_strided((count, taps, width), strides, first)
                seen.as_strided((count, taps, width), (seen.stride(0), width, 1)).copy_(neighbours)
                if side is not None:
                    seen[:count, taps * width : taps * width + side.shape[1]] = side[tile]
                gates, made = layer.taps.times(seen[:count]), gated[:count]
                weight, bias = layer.residual
                kept = (None, None, None) if weight is None else (hidden[here], bias, following[here])
                self._gated(count, tile.start, per_frame, gates, added, made, kept)
                if weight is not None:
                    following[here].addmm_(made, weight)
                out[tile].addmm_(made, layer.out)
            hidden, following = following, hidden
        return out[:steps]


def _transposed(layer: nn.Module) -> Tensor:
    return as_matrix(layer)[0].t().contiguous()


def _tiles(steps: int, size: int) -> list[slice]:
    """Cut steps into equal tiles of whole stripes, of at most about `size` steps."""
    parts = -(-steps // max(size, 1))
    length = -(-steps // (parts * STRIPE)) * STRIPE
    return [slice(first, min(first + length, steps)) for first in range(0, steps, length)]


def _rounded(rows: int) -> int:
    """Round rows up by a sixteenth or 15 at most, since torch's library takes milliseconds for each new number."""
    step = max(TILE_ROWS, (1 << rows.bit_length()) >> 5)
    return -(-rows // step) * step
