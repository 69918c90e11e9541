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
ENTRY = re.compile(r"""\s*(['"])(\w+)\1\s*:\s*('[^'\\]*'|"[^"\\]*"|\w+|\(.*?\)|\[.*?\])\s*(?:,\s*|$)""", re.DOTALL)
FIELDS = {"descr", "fortran_order", "shape"}


class NpyError(ValueError):
    """This is no npy file, or it is damaged."""


@dataclass(frozen=True)
class NpyHeader:
    """What a header says.

    Attributes:
        descr: NumPy's name of the dtype, such as `<f4`; empty if it is described in another way.
        order: of the values, `C` or `F`.
        shape: of the array, nothing negative.
        start: the byte of the file at which the values begin.
    """

    descr: str
    order: Literal["C", "F"]
    shape: tuple[int, ...]
    start: int


def read_header(content: bytes | memoryview) -> NpyHeader:
    """Return what the header says, from the first bytes of a file or all of them.

    Raises:
        NpyError: this is no npy file of version 1.0 or 2.0, or its header is none.
    """
    head = bytes(content[:LONGEST_HEAD])
    if head[:6] != MAGIC or head[6:8] not in LENGTHS:
        raise NpyError("this is no npy file of version 1.0 or 2.0")
    start = 8 + struct.calcsize(LENGTHS[head[6:8]])
    if len(head) < start:
        raise NpyError("the npy file ends within its header")
    end = start + struct.unpack(LENGTHS[head[6:8]], head[8:start])[0]
    if end - start > MAX_HEADER or end > len(head):
        raise NpyError("the npy file's header is longer than the file, or than a header needs")
    fields = _fields(head[start:end].decode("latin1").strip())
    descr, order = fields["descr"], {"True": "F", "False": "C"}.get(fields["fortran_order"])
    if order is None:
        raise NpyError("the npy file's fortran_order is neither True nor False")
    return NpyHeader(descr[1:-1] if descr[0] in "'\"" else "", order, _shape(fields["shape"]), end)  # type: ignore[arg-type]


def read_array(content: bytes, dtypes: tuple[str, ...]) -> NDArray[np.generic]:
    """Return the array of a whole npy file, as a view of its bytes.

    Raises:
        NpyError: this is no npy file, its dtype is none of these, or its values do not fit its shape.
    """
    header = read_header(content)
    if header.descr not in dtypes:
        raise NpyError(f"the npy file's dtype must be {' or '.join(dtypes)}")
    dtype = np.dtype(header.descr)
    if math.prod(header.shape) * dtype.itemsize != len(content) - header.start:
        raise NpyError("the npy file's values do not fit its shape")
    return np.frombuffer(content, dtype, offset=header.start).reshape(header.shape, order=header.order)


def _fields(text: str) -> dict[str, str]:
    """Return the source of each value of a dictionary's source."""
    found: dict[str, str] = {}
    inner, place = text[1:-1].strip(), 0
    while text[:1] + text[-1:] == "{}" and place < len(inner):
        entry = ENTRY.match(inner, place)
        if entry is None or entry[2] in found:
            break
        found[entry[2]] = entry[3]
        place = entry.end()
    if found.keys() != FIELDS or place < len(inner):
        raise NpyError("the npy file's header is not a dictionary of descr, fortran_order and shape")
    return found


def _shape(source: str) -> tuple[int, ...]:
    """Return the tuple of whole numbers that is written so; Python 2 wrote an L after long ones."""
    parts = [part.strip().removesuffix("L") for part in source[1:-1].split(",")]
    sizes = parts if parts[-1] else parts[:-1]
    written = source[0] == "(" and (len(parts) > 1 or not sizes)
    if not written or not all(size.isascii() and size.isdecimal() and len(size) <= 18 for size in sizes):
        raise NpyError("the npy file's shape is not a tuple of whole numbers")
    return tuple(map(int, sizes))
