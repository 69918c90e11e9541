"""Annotations of the parameters of an entry point: how they lie in memory. The launcher reads them."""

from dataclasses import dataclass
from typing import Annotated, Any

import torch

LANES = 8
"""numbers of a vector where tables are laid out for vectors, whatever the processor's have"""
BLOCK = 96
"""rows that are multiplied with one panel of a matrix after another, so that they stay in the second nearest memory"""

PART = 2 * BLOCK
"""rows, times the bytes of a number, that go through a block at once, so that all between them stays there too"""
TILE = 6
"""of these rows that are multiplied at once: with two vectors of each the sums fill 12 of 16 registers"""
PAIR_TILE, PAIR_COLUMNS = 8, 48
"""rows and columns of bfloat16 that are multiplied at once: with three vectors of each row they fill 24 of 32"""


@dataclass(frozen=True)
class Memory:
    """A contiguous tensor of so many dimensions, or None in its place, which has size 0.

    `dtype` is that of its elements, or which of the dtypes that a kernel is compiled for.
    """

    dtype: torch.dtype | int
    dims: int


Row = Annotated[Any, Memory(torch.float32, 1)]
Matrix = Annotated[Any, Memory(torch.float32, 2)]
Cube = Annotated[Any, Memory(torch.float32, 3)]
Hypercube = Annotated[Any, Memory(torch.float32, 4)]
DoubleRow = Annotated[Any, Memory(torch.float64, 1)]
DoubleMatrix = Annotated[Any, Memory(torch.float64, 2)]
DoubleCube = Annotated[Any, Memory(torch.float64, 3)]
IntegerMatrix = Annotated[Any, Memory(torch.int32, 2)]
Integers = Annotated[Any, Memory(torch.int32, 1)]
FirstMatrix = Annotated[Any, Memory(0, 2)]
FirstCube = Annotated[Any, Memory(0, 3)]
SecondMatrix = Annotated[Any, Memory(1, 2)]
