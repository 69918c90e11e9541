"""Matrices as compiled code takes them, on processors whose vectors have 32 bytes."""

import torch
from torch import Tensor
from torch.nn import functional as F

from vocoder.kernels.eligible import compilable
from vocoder.kernels.launcher import Kernel, kernel
from vocoder.kernels.memory import BLOCK

ENTRIES = {torch.float32: ("multiplied", 16), torch.float64: ("multiplied_double", 8)}
"""kernel for each dtype, and columns of its panels"""


class Panels:
    """A matrix (inputs, outputs) in panels of its columns. The product of a row does not depend on the other rows.

    A float32 matrix is kept in half floats where that loses nothing, as most models are stored: it takes half as long
    to come from memory.
    """

    def __init__(self, run: Kernel, weight: Tensor, columns: int) -> None:
        inputs, self._outputs = weight.shape
        count = -(-self._outputs // columns)
        padded = F.pad(weight, (0, count * columns - self._outputs)).view(inputs, count, columns)
        self._run = run
        self.tensor = padded.transpose(0, 1).reshape(count, -1).contiguous()
        """(panels, inputs * columns)"""

    @classmethod
    def of(cls, weight: Tensor) -> "Panels | None":
        """Return a matrix in panels; None for other dtypes, where a library is as fast or nothing is compiled."""
        if not compilable(weight, *ENTRIES) or torch.backends.cpu.get_cpu_capability() != "AVX2":
            return None
        name, columns = ENTRIES[weight.dtype]
        halves = weight.half()
        weight = halves if weight.dtype == torch.float32 and torch.equal(halves.float(), weight) else weight
        run = kernel("product", name, weight.dtype)
        return None if run is None else cls(run, weight, columns)

    def times(self, rows: Tensor, bias: Tensor | None, gelu: bool) -> Tensor:
        """Return rows (N, inputs) @ matrix plus any bias (outputs,), (N, outputs); with `gelu` the GELU of it."""
        out = rows.new_empty(len(rows), self._outputs)
        self._multiply(rows.contiguous(), rows.shape[1], bias, gelu and rows.dtype == torch.float32, out)
        return F.gelu(out) if gelu and rows.dtype != torch.float32 else out

    def windows(self, x: Tensor, taps: int, bias: Tensor | None) -> Tensor:
        """Return the products, (B, steps - taps + 1, outputs), of windows of so many steps of x (B, steps, C)."""
        batch, steps, _ = x.shape
        out = x.new_empty(batch * steps, self._outputs)
        self._multiply(x.contiguous(), taps * x.shape[2], bias, False, out[: len(out) - taps + 1])
        return out.view(batch, steps, -1)[:, : steps - taps + 1]

    def _multiply(self, x: Tensor, inputs: int, bias: Tensor | None, gelu: bool, out: Tensor) -> None:
        """Write the products of rows of `inputs` numbers that begin where those of the last dimension of x do."""
        units = -(-len(out) // BLOCK) * len(self.tensor)
        self._run(units, inputs, x.shape[-1], gelu, x.view(-1), self.tensor, bias, out)
