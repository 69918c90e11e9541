"""Linear maps of frames. Frozen weights are arranged once, for compiled code or for oneDNN.

The processor's features decide, never a clock: the same samples come from every process on machines of one type.
"""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.kernels.launcher import Kernel, compilable, kernel, takes
from vocoder.kernels.memory import BLOCK, PAIR_COLUMNS

T = TypeVar("T")

ARRANGED_ROWS = 64
"""for which a matrix is arranged: as many as where arranging it anew would cost most"""
ENTRIES = {
    ("AVX2", torch.float32): ("multiplied", 16),
    ("AVX2", torch.float64): ("multiplied_double", 8),
    ("AVX512", torch.float32): ("multiplied", 32),
    ("AVX512", torch.float64): ("multiplied_double", 16),
}
"""kernel for each capability of processors and dtype, and columns of its panels; for others a library is as fast"""

LARGE = 2**18
"""numbers of a float32 matrix with more than which oneDNN is as fast as panels of 32 columns, or faster"""


class Kept(Generic[T]):
    """Holds a value that was computed from parameters. Copies and pickles hold nothing, and compute it again.

    It notices changes in place, except those of parameters made in inference mode, which torch does not count. It holds
    on to the parameters' memory, so that no other parameter can take their address.
    """

    def __init__(self) -> None:
        self._made: tuple[tuple[Any, ...], T, tuple[Tensor, ...]] | None = None

    def of(self, parameters: tuple[Tensor, ...], make: Callable[[], T], *further: Any) -> T:
        """Return what `make` returns for these parameters and further settings; call it only if one has changed."""
        now = (*((p.data_ptr(), None if p.is_inference() else p._version) for p in parameters), *further)
        if self._made is None or self._made[0] != now:
            self._made = (now, make(), tuple(p.detach() for p in parameters))
        return self._made[1]

    def drop(self) -> None:
        """Forget the value: fused optimizers change weights that take gradients, and torch does not count it."""
        self._made = None

    def __getstate__(self) -> dict[str, Any]:
        return {"_made": None}


def available(dtype: torch.dtype) -> bool:
    """Return whether oneDNN multiplies such matrices on this processor."""
    if not torch._C._has_mkldnn or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype == torch.float32


def rounded(rows: int) -> int:
    """Return a number of rows that is round, and at most a sixteenth, or 7, more.

    oneDNN makes code for every number of rows that it meets, in some milliseconds and up to a megabyte.
    """
    step = max(8, (1 << rows.bit_length()) >> 5)
    return -(-rows // step) * step


def in_panels(weight: Tensor) -> tuple[Kernel, Tensor] | None:
    """Return a matrix (inputs, outputs) in panels of its columns, (panels, inputs * columns), and its kernel.

    None for other dtypes and processors, or where nothing is compiled. A float32 matrix is kept in half floats
    where that loses nothing, as most models are stored: it takes half as long to come from memory.
    """
    capability = torch.backends.cpu.get_cpu_capability()
    name, columns = ENTRIES.get((capability, weight.dtype), ("", 0))
    large = columns == 32 and weight.numel() > LARGE
    if not name or large or not compilable(weight, weight.dtype):
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
    """Return whether vectors multiply pairs of such numbers here; with tiles, of Intel's AMX, oneDNN is faster."""
    has, tiles = torch.cpu._is_avx512_bf16_supported(), torch.cpu._is_amx_tile_supported()
    return dtype == torch.bfloat16 and bool(has) and not tiles


def in_pairs(layer: "Product", inputs: int) -> tuple[Tensor, Tensor]:
    """Return a layer's matrix in panels of its columns, of pairs of bfloat16 in the place of float32, and its bias.

    (panels, inputs / 2 * columns) and (panels, columns), for so many inputs, of which the layer may have fewer.
    """
    outputs, given = layer.weight.shape
    count = -(-outputs // PAIR_COLUMNS)
    missing = count * PAIR_COLUMNS - outputs
    weight = F.pad(layer.weight.detach().to(torch.bfloat16), (0, inputs - given, 0, missing))
    pairs = weight.view(count, PAIR_COLUMNS, inputs // 2, 2).transpose(1, 2).reshape(count, -1)
    return pairs.view(torch.float32), F.pad(layer.bias.detach(), (0, missing)).view(count, PAIR_COLUMNS)


class Matrix:
    """A matrix (inputs, outputs) that many rows are multiplied with.

    PyTorch arranges a matrix anew for each product, which takes as long as the product itself where rows are few, and
    for float32 it goes to a library that leaves half of some processors idle. So the matrix is arranged once: in panels
    for compiled code, whose product of a row does not depend on the other rows, or, where oneDNN is as fast, for that.
    It multiplies rows that `takes` accepts alone.
    """

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight.detach()
        compiled: tuple[Kernel | None, Tensor | None] = in_panels(self.weight) or (None, None)
        self._run, self.panels = compiled
        packs = self.panels is None and weight.device.type == "cpu" and available(weight.dtype)
        transposed = self.weight.t().contiguous() if packs else None
        self._packed = torch.ops.mkldnn._reorder_linear_weight(transposed, ARRANGED_ROWS) if packs else None

    def times(self, rows: Tensor, bias: Tensor | None = None, gelu: bool = False) -> Tensor:
        """Return rows (..., inputs) @ weight, (..., outputs), plus any bias (outputs,); with `gelu` the GELU of it."""
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
        padded[count:].zero_()  # denormal numbers left there would be slow
        return self._product(padded, bias, gelu)[:count].view(*rows.shape[:-1], outputs)

    def windows(self, x: Tensor, taps: int, bias: Tensor) -> Tensor:
        """Return the products, (B, steps - taps + 1, outputs), of windows of so many steps of x (B, steps, C)."""
        if self.panels is None:
            return self.times(x.unfold(1, taps, 1).transpose(2, 3).flatten(2), bias)
        (batch, steps, _), (inputs, outputs) = x.shape, self.weight.shape
        out = x.new_empty(batch * steps, outputs)
        self._multiply(x.contiguous(), inputs, bias, False, out[: len(out) - taps + 1])
        return out.view(batch, steps, outputs)[:, : steps - taps + 1]

    def room(self, rows: int) -> int:
        """Return how many rows it multiplies without copying them, for at least so many."""
        return rows if self._packed is None else rounded(rows)

    def _multiply(self, x: Tensor, inputs: int, bias: Tensor | None, gelu: bool, out: Tensor) -> None:
        """Write the products of rows of `inputs` numbers that begin where those of the last dimension of x do."""
        assert self._run is not None
        assert self.panels is not None
        units = -(-len(out) // BLOCK) * len(self.panels)
        self._run(units, inputs, x.shape[-1], gelu, x.view(-1), self.panels, bias, out)

    def _product(self, rows: Tensor, bias: Tensor | None, gelu: bool) -> Tensor:
        name, algorithm = ("gelu", "none") if gelu else ("none", "")
        made: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self._packed, bias, name, [], algorithm)
        return made

    def __reduce__(self) -> Any:
        """Copies and pickles arrange it anew: what oneDNN arranged can be neither copied nor pickled."""
        return type(self), (self.weight,)


class Arranged(nn.Module):
    """A layer whose weights, where they are frozen, are arranged once as a matrix that rows are multiplied with.

    Float32 weights multiply in `compute_dtype` if that is set, unless `precise` is.
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
        """In which it multiplies."""
        own = self.weight.dtype
        return own if self.precise or own != torch.float32 or self.compute_dtype is None else self.compute_dtype

    def arranged(self) -> tuple[Matrix, Tensor]:
        """Return its matrix and bias in that dtype, as products take them."""
        return self._kept.of((self.weight, self.bias), self._arrange, self.dtype)

    def _arrange(self) -> tuple[Matrix, Tensor]:
        return Matrix(self.matrix().to(self.dtype)), self.bias.detach().to(self.dtype)

    def matrix(self) -> Tensor:
        """Return the weights as a matrix (inputs, outputs)."""
        return self.weight.t()


class Product(Arranged, nn.Linear):
    """A linear map of rows."""

    def forward(self, rows: Tensor, gelu: bool = False) -> Tensor:
        """Map rows (..., inputs) to (..., outputs), in the dtype of its products; with `gelu` to the GELU of that."""
        rows = rows.to(self.dtype)
        if self.weight.requires_grad or not takes(rows):
            made = F.linear(rows, self.weight.to(self.dtype), self.bias.to(self.dtype))
            return F.gelu(made) if gelu else made
        matrix, bias = self.arranged()
        return matrix.times(rows, bias, gelu)

    def room(self, rows: int) -> int:
        """Return how many rows it takes without copying them, for at least so many."""
        return self.arranged()[0].room(rows)


class FrameConv(Arranged, nn.Conv1d):
    """A convolution over frames. With frozen weights it is one matrix product of frames beside their neighbours.

    PyTorch's own convolution is slower for the few frames of an utterance. The output has the dtype of the input. It
    sees `kernel_size` frames, `ahead` of them after a frame's own, half of the others if left out, and zeros beyond the
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
        self.in_products = False
        """whether it is written as a matrix product in plain operations too, for runtimes that convolve no float64"""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, frames) to (B, outputs, frames)."""
        frames, taps, (before, after) = x.shape[2], self.kernel_size[0], self.sides
        if self.in_products:
            x = F.pad(x, self.sides)
            shifted = torch.cat([x[:, :, tap : tap + frames] for tap in range(taps)], dim=1)
            return self.matrix().t() @ shifted + self.bias[:, None]
        if self.weight.requires_grad or x.device.type != "cpu" or not takes(x):
            return super().forward(F.pad(x, self.sides))
        matrix, bias = self.arranged()
        if x.shape[0] == 1:
            after += matrix.room(frames) - frames  # so that rows need not be copied for the product
        padded = F.pad(x.to(self.dtype).transpose(1, 2), (0, 0, before, after))
        return matrix.windows(padded, taps, bias)[:, :frames].to(x.dtype).transpose(1, 2)

    def matrix(self) -> Tensor:
        """Return the weights as a matrix (taps * inputs, outputs), oldest tap first."""
        return self.weight.permute(2, 1, 0).flatten(0, 1)
