"""Linear maps of frames. Frozen weights are arranged once, for compiled code.

The choice depends on the processor's features, never on timings, so that all processes on machines of one type produce
the same samples.
"""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.kernels.launcher import Kernel, compilable, kernel, takes
from vocoder.kernels.memory import BLOCK, PAIR_COLUMNS, PAIR_ROWS, TILE_ROWS

T = TypeVar("T")


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


def multiplies_pairs(dtype: torch.dtype) -> bool:
    """Return whether this processor multiplies pairs of bfloat16, in vectors or in tiles."""
    return dtype == torch.bfloat16 and bool(torch.cpu._is_avx512_bf16_supported())


def multiplies_quads() -> bool:
    """Return whether this processor multiplies quads of 8-bit integers in vectors."""
    return bool(torch.cpu._is_vnni_supported())


def multiplies_tiles(*sizes: int) -> bool:
    """Return whether it multiplies rows of these sizes in bytes in tiles; the first call asks the kernel for them."""
    return all(size % (4 * TILE_ROWS) == 0 for size in sizes) and bool(torch.cpu._init_amx())


def in_panels(weight: Tensor, bias: Tensor | None, inputs: int) -> tuple[Tensor, Tensor]:
    """Return a matrix (inputs, outputs) in panels of columns, and its bias.

    They are (panels, inputs * columns) and (panels, columns), filled up with zeros, also to `inputs` if the matrix has
    fewer. A panel of float32 or float64 has two vectors of columns. Neighbouring inputs of fewer bits stand together,
    viewed as one float32. A float32 matrix is kept in float16 if that is exact, as for most stored models, since it
    then loads from memory in half the time.
    """
    (given, outputs), group = weight.shape, max(4 // weight.itemsize, 1)
    vector = 64 if torch.backends.cpu.get_cpu_capability() == "AVX512" else 32
    columns, kind = (2 * vector // weight.itemsize, weight.dtype) if group == 1 else (PAIR_COLUMNS, torch.float32)
    count = -(-outputs // columns)
    missing = count * columns - outputs
    padded = F.pad(weight.detach(), (0, missing, 0, inputs - given)).view(inputs // group, group, count, columns)
    panels = padded.permute(2, 0, 3, 1).reshape(count, -1)
    added = torch.zeros(outputs, dtype=kind) if bias is None else bias.detach().to(kind)
    exact = weight.dtype == torch.float32 and torch.equal(panels.half().float(), panels)
    return panels.half() if exact else panels.view(kind), F.pad(added, (0, missing)).view(count, columns)


class Matrix:
    """A matrix (inputs, outputs) to multiply many rows with, and a bias (outputs,) to add.

    PyTorch arranges a matrix again for each product, which takes as long as the product itself for few rows, and the
    library that it calls generates code for every number of rows, or leaves half of some processors idle. Here the
    matrix is arranged once, in panels for compiled code, whose product of a row does not depend on the other rows.
    Other processors and devices use PyTorch. Rows must satisfy `takes`.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self.weight, self.bias = weight.detach(), None if bias is None else bias.detach().to(weight.dtype)
        self.room = weight.shape[0]
        """number of inputs that rows may have without being copied; those beyond the matrix's must be 0"""
        self._run: Kernel | None = None
        self._pairs = multiplies_pairs(weight.dtype)
        known = self._pairs or weight.dtype in (torch.float32, torch.float64)
        if not known or not compilable(self.weight, weight.dtype):
            return
        room = -(-self.room // (2 * TILE_ROWS)) * 2 * TILE_ROWS if self._pairs else self.room
        self._panels = in_panels(self.weight, bias, room)
        if self._pairs:
            self._run = kernel("tiles" if multiplies_tiles() else "pairs", "multiplied")
        else:
            name = "multiplied_double" if weight.dtype == torch.float64 else "multiplied"
            self._run = kernel("panels", name, self._panels[0].dtype)
        self.room = self.room if self._run is None else room

    def times(self, rows: Tensor) -> Tensor:
        """Return rows (..., inputs) @ weight + bias, (..., outputs), in the dtype of the weight."""
        if self._run is None:
            return F.linear(rows.to(self.weight.dtype), self.weight.t(), self.bias)
        made = rows.new_empty(rows.shape[:-1].numel(), self.weight.shape[1], dtype=self.weight.dtype)
        self._multiply(self._rounded(rows) if self._pairs else rows.to(self.weight.dtype).contiguous(), self.room, made)
        return made.view(*rows.shape[:-1], made.shape[1])

    def windows(self, x: Tensor, taps: int) -> Tensor:
        """Multiply windows of `taps` steps of x (B, steps, C): (B, steps - taps + 1, outputs)."""
        if self._run is None or self._pairs:
            return self.times(x.unfold(1, taps, 1).transpose(2, 3).flatten(2))
        (batch, steps, channels), x = x.shape, x.to(self.weight.dtype).contiguous()
        out = x.new_empty(batch * steps, self.weight.shape[1])
        self._multiply(x, channels, out[: len(out) - taps + 1])
        return out.view(batch, steps, -1)[:, : steps - taps + 1]

    def _multiply(self, x: Tensor, step: int, out: Tensor) -> None:
        """Multiply rows that start `step` values apart, and may extend into the next ones."""
        assert self._run is not None
        group, most = (2, PAIR_ROWS) if self._pairs else (1, BLOCK)
        x = x.view(torch.float32) if self._pairs else x
        units = -(-len(out) // most) * len(self._panels[0])
        self._run(units, self.room // group, step // group, x.view(-1), self._panels, out)

    def _rounded(self, rows: Tensor) -> Tensor:
        """Return rows as the kernel for pairs reads them: (N, room) in bfloat16, with N a multiple of `TILE_ROWS`."""
        count, inputs = rows.shape[:-1].numel(), rows.shape[-1]
        fits = rows.dtype == self.weight.dtype and inputs == self.room and count % TILE_ROWS == 0
        if fits and rows.is_contiguous():
            return rows.view(count, inputs)
        rounded = rows.new_empty(-(-count // TILE_ROWS) * TILE_ROWS, self.room, dtype=self.weight.dtype)
        rounded[:, inputs:] = 0.0
        rounded[:count, :inputs].view(rows.shape).copy_(rows)
        return rounded


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
        self._kept: Kept[Matrix] = Kept()

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of its products; blocks of frames multiply integers themselves, other layers the next best."""
        own, chosen = self.weight.dtype, self.compute_dtype
        if chosen == torch.int8:
            chosen = torch.bfloat16 if multiplies_pairs(torch.bfloat16) else torch.float32
        return own if self.precise or own != torch.float32 or chosen is None else chosen

    def arranged(self) -> Matrix:
        """Return its matrix and bias in that dtype, arranged for products."""
        parameters = self.weight, self.bias
        return self._kept.of(parameters, lambda: Matrix(self.matrix().to(self.dtype), self.bias), self.dtype)

    def matrix(self) -> Tensor:
        """Return the weights as a matrix (inputs, outputs)."""
        return self.weight.t()


class Product(Arranged, nn.Linear):
    """A linear map of rows."""

    def forward(self, rows: Tensor) -> Tensor:
        """Map rows (..., inputs) to (..., outputs), in the dtype of its products."""
        if self.weight.requires_grad or not takes(rows):
            return F.linear(rows.to(self.dtype), self.weight.to(self.dtype), self.bias.to(self.dtype))
        return self.arranged().times(rows)


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
        frames, taps = x.shape[2], self.kernel_size[0]
        if torch.compiler.is_compiling() and self.weight.dtype == torch.float64:  # runtimes lack such convolutions
            x = F.pad(x, self.sides)
            shifted = torch.cat([x[:, :, tap : tap + frames] for tap in range(taps)], dim=1)
            return self.matrix().t() @ shifted + self.bias[:, None]
        if self.weight.requires_grad or x.device.type != "cpu" or not takes(x):
            return super().forward(F.pad(x, self.sides))
        padded = F.pad(x.to(self.dtype).transpose(1, 2), (0, 0, *self.sides))
        return self.arranged().windows(padded, taps).to(x.dtype).transpose(1, 2)

    def matrix(self) -> Tensor:
        """Return the weights as a matrix (taps * inputs, outputs), oldest tap first."""
        return self.weight.permute(2, 1, 0).flatten(0, 1)
