"""Read npy files of one array of numbers. Their header is Python source; here it is parsed and never evaluated.

NumPy evaluates it with `ast.literal_eval`, which fails now and then on several threads of Python 3.11, and makes any
dtype and allocates any shape that it describes.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

MAGIC = b"\x93NUMPY"
MAX_HEADER = 1024
LENGTHS = {b"\x01\x00": "<H", b"\x02\x00": "<I"}
"""how each version writes the length of its header (numpy.lib.format)"""
LONGEST_HEAD = 12 + MAX_HEADER
"""bytes of a file within which its values begin"""


class NpyError(ValueError):
    """This is no npy file, or it is damaged."""


ENTRY = re.compile(
    r"""\s*(['"])(\w+)\1\s*:\s*(?:(['"])([^'"\\]*)\3|(True|False)|\(([\s0-9L,]*)\)|\[.*?\]|\(.*?\)|\w+)\s*(?:,\s*|$)"""
)
"""a quoted name with a text, a truth, a tuple of numbers, or something else"""


@dataclass(frozen=True)
class NpyHeader:
    """What a header says.

    `descr` is NumPy's name of the dtype, such as `<f4`, empty if it is described in another way; `order` is that of the
    values, which begin at byte `start`.
    """

    descr: str
    order: Literal["C", "F"]
    shape: tuple[int, ...]
    start: int


def read_header(content: bytes | memoryview) -> NpyHeader:
    """Return what the header says, from the first bytes of a file or all of them; raises an NpyError if it is none."""
    head = bytes(content[:LONGEST_HEAD])
    if head[:6] != MAGIC or head[6:8] not in LENGTHS:
        raise NpyError("this is no npy file of version 1.0 or 2.0")
    start = 8 + struct.calcsize(LENGTHS[head[6:8]])
    if len(head) < start:
        raise NpyError("the npy file ends within its header")
    end = start + struct.unpack(LENGTHS[head[6:8]], head[8:start])[0]
    if end - start > MAX_HEADER or end > len(head):
        raise NpyError("the npy file's header is longer than the file, or than a header needs")
    inner = head[start:end].decode("latin1").strip()
    entries = list(ENTRY.finditer(inner[1:-1]))
    found = {entry[2]: entry for entry in entries}
    if len(entries) != len(found) or found.keys() != {"descr", "fortran_order", "shape"}:
        raise NpyError("the npy file's header is not a dictionary of descr, fortran_order and shape")
    descr, order, shape = found["descr"][4], found["fortran_order"][5], found["shape"][6]
    if inner != "{" + "".join(entry[0] for entry in entries) + "}" or order is None or shape is None:
        raise NpyError("the npy file's header does not hold a dtype, an order and a shape")
    return NpyHeader(descr or "", "F" if order == "True" else "C", _sizes(shape), end)


def _sizes(source: str) -> tuple[int, ...]:
    """Return the tuple of whole numbers that is written so; Python 2 wrote an L after long ones."""
    parts = [part.strip().removesuffix("L") for part in source.split(",")]
    sizes = parts if parts[-1] else parts[:-1]
    if (len(parts) == 1 and sizes) or not all(size.isdecimal() and len(size) <= 18 for size in sizes):
        raise NpyError("the npy file's shape is not a tuple of whole numbers")
    return tuple(map(int, sizes))


def read_array(content: bytes, dtypes: tuple[str, ...]) -> NDArray[np.generic]:
    """Return the array of a whole npy file, as a view of its bytes.

    Raises an NpyError if it is none, its dtype is none of these, or its values do not fit its shape.
    """
    header = read_header(content)
    if header.descr not in dtypes:
        raise NpyError(f"the npy file's dtype must be {' or '.join(dtypes)}")
    dtype = np.dtype(header.descr)
    if math.prod(header.shape) * dtype.itemsize != len(content) - header.start:
        raise NpyError("the npy file's values do not fit its shape")
    return np.frombuffer(content, dtype, offset=header.start).reshape(header.shape, order=header.order)
