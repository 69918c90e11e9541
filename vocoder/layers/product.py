"""Linear maps of frames. Frozen weights are arranged once, for compiled code or for oneDNN.

The choice depends on the processor's features, never on timings, so that all processes on machines of one type produce
the same samples.
"""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.kernels.launcher import Kernel, compilable, kernel, takes
from vocoder.kernels.memory import BLOCK, PAIR_COLUMNS, TILE_ROWS

T = TypeVar("T")

ARRANGED_ROWS = 64
"""number of rows for which oneDNN arranges a matrix: one for which arranging it again would cost most"""
ENTRIES = {
    ("AVX2", torch.float32): ("multiplied", 16),
    ("AVX2", torch.float64): ("multiplied_double", 8),
    ("AVX512", torch.float32): ("multiplied", 32),
    ("AVX512", torch.float64): ("multiplied_double", 16),
}
"""processor capability and dtype -> kernel and columns of its panels; otherwise a library is as fast"""


class Kept(Generic[T]):
    """Caches a value computed from parameters. Copies and pickles are empty and compute it again.

    It notices in-place changes, except of parameters created in inference mode, whose changes torch does not count, and
    in traced programs. It keeps the parameters' memory alive, so that no other parameter can get their address.
    """

    def __init__(self) -> None:
        self._made: tuple[tuple[Any, ...], T, tuple[Tensor, ...]] | None = None

    def of(self, parameters: tuple[Tensor, ...], make: Callable[[], T], *further: Any) -> T:
        """Return the value of `make()`, called only if a parameter or one of the `further` settings has changed."""
        if self._made is not None and torch.compiler.is_compiling():
            return self._made[1]
        now = (*((p.data_ptr(), None if p.is_inference() else p._version) for p in parameters), *further)
        if self._made is None or self._made[0] != now:
            self._made = (now, make(), tuple(p.detach() for p in parameters))
        return self._made[1]

    def drop(self) -> None:
        """Drop the value; needed because torch does not count changes of weights by fused optimisers."""
        self._made = None

    def __getstate__(self) -> dict[str, Any]:
        return {"_made": None}


def available(dtype: torch.dtype) -> bool:
    """Return whether oneDNN supports matrix products in this dtype on this processor."""
    if not torch._C._has_mkldnn or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype == torch.float32


def rounded(rows: int) -> int:
    """Round a number of rows up by at most a sixteenth, or 7.

    oneDNN generates code for every number of rows, which takes some milliseconds and up to a megabyte.
    """
    step = max(8, (1 << rows.bit_length()) >> 5)
    return -(-rows // step) * step


def in_panels(weight: Tensor) -> tuple[Kernel, Tensor] | None:
    """Return the kernel for a matrix (inputs, outputs), and the matrix in panels of columns (panels, inputs * columns).

    Returns None for other dtypes and processors, or without compiled code. A float32 matrix is kept in float16 if that
    is exact, as for most stored models, since it then loads from memory in half the time.
    """
    capability = torch.backends.cpu.get_cpu_capability()
    name, columns = ENTRIES.get((capability, weight.dtype), ("", 0))
    if not name or not compilable(weight, weight.dtype):
        return None
    halves = weight.half()
    weight = halves if weight.dtype == torch.float32 and torch.equal(halves.float(), weight) else weight
    run = kernel("product", name, weight.dtype)
    if run is None:
        return None
    (inputs, outputs), count = weight.shape, -(-weight.shape[1] // columns)
    padded = F.pad(weight, (0, count * columns - outputs)).view(inputs, count, columns)
    return run, padded.transpose(0, 1).reshape(count, -1).contiguous()


def multiplies_pairs(dtype: torch.dtype) -> bool:
    """Return whether this processor multiplies pairs of bfloat16, in vectors or in tiles."""
    return dtype == torch.bfloat16 and bool(torch.cpu._is_avx512_bf16_supported())


def multiplies_tiles(*inputs: int) -> bool:
    """Return whether it multiplies these numbers of bfloat16 in tiles; the first call asks the kernel for them."""
    return all(count % (2 * TILE_ROWS) == 0 for count in inputs) and bool(torch.cpu._init_amx())


def in_pairs(layer: "Product", inputs: int) -> tuple[Tensor, Tensor]:
    """Return a layer's matrix in panels of columns, with pairs of bfloat16 viewed as float32, and its bias.

    They are (panels, inputs / 2 * columns) and (panels, columns), padded to `inputs` if the layer has fewer.
    """
    outputs, given = layer.weight.shape
    count = -(-outputs // PAIR_COLUMNS)
    missing = count * PAIR_COLUMNS - outputs
    weight = F.pad(layer.weight.detach().to(torch.bfloat16), (0, inputs - given, 0, missing))
    pairs = weight.view(count, PAIR_COLUMNS, inputs // 2, 2).transpose(1, 2).reshape(count, -1)
    return pairs.view(torch.float32), F.pad(layer.bias.detach(), (0, missing)).view(count, PAIR_COLUMNS)


class Matrix:
    """A matrix (inputs, outputs) to multiply many rows with.

    PyTorch arranges a matrix again for each product, which takes as long as the product itself for few rows, and for
    float32 it calls a library that leaves half of some processors idle. Here the matrix is arranged once: in panels for
    compiled code, whose product of a row does not depend on the other rows, or for oneDNN where that is as fast.
    Rows must satisfy `takes`.
    """

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight.detach()
        compiled: tuple[Kernel | None, Tensor | None] = in_panels(self.weight) or (None, None)
        self._run, self.panels = compiled
        packs = self.panels is None and weight.device.type == "cpu" and available(weight.dtype)
        transposed = self.weight.t().contiguous() if packs else None
        self._packed = torch.ops.mkldnn._reorder_linear_weight(transposed, ARRANGED_ROWS) if packs else None

    def times(self, rows: Tensor, bias: Tensor | None = None, gelu: bool = False) -> Tensor:
        """Return rows (..., inputs) @ weight + bias, (..., outputs), or with `gelu` its GELU."""
        inputs, outputs = self.weight.shape
        count = rows.numel() // inputs
        if self.panels is not None:
            made, compiled = rows.new_empty(count, outputs), rows.dtype == torch.float32
            self._multiply(rows.contiguous(), inputs, bias, gelu and compiled, made)
            return (F.gelu(made) if gelu and not compiled else made).view(*rows.shape[:-1], outputs)
        if self._packed is None:
            made = rows @ self.weight if bias is None else F.linear(rows, self.weight.t(), bias)
            return F.gelu(made) if gelu else made
        room = self.room(count)
        if room == count:
            return self._product(rows.contiguous(), bias, gelu)
        padded = rows.new_empty(room, inputs)
        padded[:count].view(rows.shape).copy_(rows)
        padded[count:].zero_()  # leftover denormal numbers would be slow
        return self._product(padded, bias, gelu)[:count].view(*rows.shape[:-1], outputs)

    def windows(self, x: Tensor, taps: int, bias: Tensor) -> Tensor:
        """Multiply windows of `taps` steps of x (B, steps, C): (B, steps - taps + 1, outputs)."""
        if self.panels is None:
            return self.times(x.unfold(1, taps, 1).transpose(2, 3).flatten(2), bias)
        (batch, steps, _), (inputs, outputs) = x.shape, self.weight.shape
        out = x.new_empty(batch * steps, outputs)
        self._multiply(x.contiguous(), inputs, bias, False, out[: len(out) - taps + 1])
        return out.view(batch, steps, outputs)[:, : steps - taps + 1]

    def room(self, rows: int) -> int:
        """Return the smallest number of rows, `rows` or more, that is multiplied without copying."""
        return rows if self._packed is None else rounded(rows)

    def _multiply(self, x: Tensor, inputs: int, bias: Tensor | None, gelu: bool, out: Tensor) -> None:
        """Multiply rows of `inputs` values, which start at each row of x and may extend into the next ones."""
        assert self._run is not None
        assert self.panels is not None
        units = -(-len(out) // BLOCK) * len(self.panels)
        self._run(units, inputs, x.shape[-1], gelu, x.view(-1), (self.panels, bias), out)

    def _product(self, rows: Tensor, bias: Tensor | None, gelu: bool) -> Tensor:
        name, algorithm = ("gelu", "none") if gelu else ("none", "")
        made: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self._packed, bias, name, [], algorithm)
        return made

    def __reduce__(self) -> Any:
        """Arrange the matrix again in copies and pickles, since oneDNN's arrangement supports neither."""
        return type(self), (self.weight,)


class Arranged(nn.Module):
    """A layer whose weights, if frozen, are arranged once as a matrix for products.

    Products with float32 weights use `compute_dtype` if it is set, unless the layer is `precise`.
    """

    weight: Tensor
    bias: nn.Parameter
    precise = False

    def __init__(self, *sizes: int) -> None:
        super().__init__(*sizes)
        self.compute_dtype: torch.dtype | None = None
        self._kept: Kept[tuple[Matrix, Tensor]] = Kept()

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of its products."""
        own = self.weight.dtype
        return own if self.precise or own != torch.float32 or self.compute_dtype is None else self.compute_dtype

    def arranged(self) -> tuple[Matrix, Tensor]:
        """Return its matrix and bias in that dtype, arranged for products."""
        return self._kept.of((self.weight, self.bias), self._arrange, self.dtype)

    def _arrange(self) -> tuple[Matrix, Tensor]:
        return Matrix(self.matrix().to(self.dtype)), self.bias.detach().to(self.dtype)

    def matrix(self) -> Tensor:
        """Return the weights as a matrix (inputs, outputs)."""
        return self.weight.t()


class Product(Arranged, nn.Linear):
    """A linear map of rows."""

    def forward(self, rows: Tensor, gelu: bool = False) -> Tensor:
        """Map rows (..., inputs) to (..., outputs), in the dtype of its products; `gelu` applies the GELU."""
        rows = rows.to(self.dtype)
        if self.weight.requires_grad or not takes(rows):
            made = F.linear(rows, self.weight.to(self.dtype), self.bias.to(self.dtype))
            return F.gelu(made) if gelu else made
        matrix, bias = self.arranged()
        return matrix.times(rows, bias, gelu)


class FrameConv(Arranged, nn.Conv1d):
    """A convolution over frames. With frozen weights it is one matrix product of frames and their neighbours.

    PyTorch's convolution is slower for the few frames of an utterance. The output has the dtype of the input. The
    kernel covers `kernel_size` frames, `ahead` of them after the current one (by default half), and zeros beyond the
    ends.
    """

    bias: nn.Parameter

    def __init__(
        self, inputs: int, outputs: int, kernel_size: int, ahead: int | None = None, precise: bool = False
    ) -> None:
        super().__init__(inputs, outputs, kernel_size)
        ahead = kernel_size // 2 if ahead is None else ahead
        self.sides = kernel_size - 1 - ahead, ahead
        self.precise = precise

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, frames) to (B, outputs, frames)."""
        frames, taps, (before, after) = x.shape[2], self.kernel_size[0], self.sides
        if torch.compiler.is_compiling() and self.weight.dtype == torch.float64:  # runtimes lack such convolutions
            x = F.pad(x, self.sides)
            shifted = torch.cat([x[:, :, tap : tap + frames] for tap in range(taps)], dim=1)
            return self.matrix().t() @ shifted + self.bias[:, None]
        if self.weight.requires_grad or x.device.type != "cpu" or not takes(x):
            return super().forward(F.pad(x, self.sides))
        matrix, bias = self.arranged()
        if x.shape[0] == 1:
            after += matrix.room(frames) - frames  # avoids copying rows for the product
        padded = F.pad(x.to(self.dtype).transpose(1, 2), (0, 0, before, after))
        return matrix.windows(padded, taps, bias)[:, :frames].to(x.dtype).transpose(1, 2)

    def matrix(self) -> Tensor:
        """Return the weights as a matrix (taps * inputs, outputs), oldest tap first."""
        return self.weight.permute(2, 1, 0).flatten(0, 1)
