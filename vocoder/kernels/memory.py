"""Annotations for the parameters of an entry point, which tell the launcher their memory layout."""

from dataclasses import dataclass
from typing import Annotated, Any

import torch

LANES = 8  # numbers per vector in tables that are arranged for vectors, on any processor
BLOCK = 96  # rows that are multiplied with all panels of a matrix in turn, so that they stay in the second-level cache

PART = 2 * BLOCK
"""rows times bytes per number that go through a block at once, so that intermediate results stay in that cache too"""
PAIR_COLUMNS = 48  # columns of bfloat16 that are multiplied at once
TILE_ROWS = 16  # rows of a tile of Intel's AMX, and columns of pairs
PAIR_ROWS = 288
"""rows of pairs that are multiplied with a panel, or in tiles go through a block, at once, so that it is read seldom"""
WHOLE_TILES = 48  # number of rows that all kernels divide into whole tiles

SIGNED, POSITIVE = (127.0, 128.0), (255.0, 0.0)
"""of a row of integers: steps from zero to its largest value, and the integer that stands for zero"""
DIP = 0.17  # added to a GELU, whose least value is -0.16997
EPSILON = 1e-6  # added to a variance
MAX_DIFFERENCE = 3.0  # differences of mels are clamped to this, in nepers
MAX_BOOST = 4.0  # largest log-gain, in nepers
LEAST_POWER = 1e-14  # added to the power of a bin to bound the gradient of its square root


@dataclass(frozen=True)
class Memory:
    """A contiguous tensor of `dims` dimensions, or None for size 0; an integer dtype is an index into the kernel's."""

    dtype: torch.dtype | int
    dims: int


Row = Annotated[Any, Memory(torch.float32, 1)]
Matrix = Annotated[Any, Memory(torch.float32, 2)]
Cube = Annotated[Any, Memory(torch.float32, 3)]
Hypercube = Annotated[Any, Memory(torch.float32, 4)]
DoubleRow = Annotated[Any, Memory(torch.float64, 1)]
DoubleMatrix = Annotated[Any, Memory(torch.float64, 2)]
DoubleCube = Annotated[Any, Memory(torch.float64, 3)]
LongMatrix = Annotated[Any, Memory(torch.int64, 2)]
IntegerMatrix = Annotated[Any, Memory(torch.int32, 2)]
Integers = Annotated[Any, Memory(torch.int32, 1)]
ByteMatrix = Annotated[Any, Memory(torch.uint8, 2)]
FirstMatrix = Annotated[Any, Memory(0, 2)]
FirstCube = Annotated[Any, Memory(0, 3)]
HalfMatrix = Annotated[Any, Memory(torch.bfloat16, 2)]
Vectors = tuple[IntegerMatrix, Row]
"""a matrix in vectors without those that are zero; see `vocoder.layers.mel_filter.vector_tables`"""
