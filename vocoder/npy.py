"""Read and write npy files of arrays and mels. Their header is Python source, in which three fields are found here.

NumPy evaluates it with `ast.literal_eval`, which occasionally fails with several threads in Python 3.11, and then
creates any dtype and allocates any shape that it describes.
"""

import io
import math
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

MAGIC = b"\x93NUMPY"
MAX_HEADER = 1024
LENGTHS = {b"\x01\x00": "<H", b"\x02\x00": "<I"}
"""version -> format of the header's length (numpy.lib.format)"""
LONGEST_HEAD = 12 + MAX_HEADER  # largest offset of the values in a file
FIELDS = {
    "descr": r"(?:['\"](.*?)['\"]|\[.*?\])",  # a list if the dtype is structured
    "fortran_order": "(True|False)",
    "shape": r"\(\s*((?:\d+L?\s*,\s*)*(?:\d+L?)?)\s*\)",
}
"""field of a header -> pattern of its value; Python 2 wrote long integers as 5L"""
FLOATS = tuple(f"{order}f{size}" for order in "<>" for size in (2, 4, 8))
MASKED = "the mel is a masked array: fill the masked values first, as in mel.filled(silence)"


class NpyError(ValueError):
    """The data is not an npy file, or is damaged."""


@dataclass(frozen=True)
class NpyHeader:
    """The contents of a header.

    `descr` is NumPy's name of the dtype, such as `<f4`, empty if the dtype is structured; `order` is the memory order
    of the values, which begin at byte `start`.
    """

    descr: str
    order: Literal["C", "F"]
    shape: tuple[int, ...]
    start: int


def read_header(content: bytes | memoryview) -> NpyHeader:
    """Read a header from the first bytes of a file, or all of it; raises an NpyError if it is invalid."""
    head = bytes(content[:LONGEST_HEAD])
    if not head.startswith(MAGIC):
        raise NpyError("this is not an npy file")
    if head[6:8] not in LENGTHS:
        raise NpyError("the npy file ends within its header, or is not of version 1.0 or 2.0, as numpy.save writes it")
    start = 8 + struct.calcsize(LENGTHS[head[6:8]])
    if len(head) < start:
        raise NpyError("the npy file ends within its header")
    end = start + struct.unpack(LENGTHS[head[6:8]], head[8:start])[0]
    if end - start > MAX_HEADER or end > len(head):
        raise NpyError("the npy file's header is longer than the file, or than any header needs")
    text = head[start:end].decode("latin1")
    found: list[str] = []
    for name, value in FIELDS.items():
        pieces = re.split(rf"""['"]{name}['"]\s*:\s*{value}\s*(?:,\s*|(?=}}))""", text, maxsplit=1)
        found, text = [*found, *pieces[1:-1]], pieces[0] + pieces[-1] if pieces[1:] else ""
    if "".join(text.split()) != "{}":
        raise NpyError("the npy file's header is not a dictionary of descr, fortran_order and shape alone")
    descr, fortran_order, shape = found
    sizes = tuple(map(int, re.findall(r"\d+", shape)))
    return NpyHeader(descr or "", "F" if fortran_order == "True" else "C", sizes, end)


def read_array(content: bytes, dtypes: tuple[str, ...]) -> NDArray[np.generic]:
    """Return the array of an npy file, a view of its bytes; raises an NpyError for other dtypes and damaged files."""
    header = read_header(content)
    if header.descr not in dtypes:
        raise NpyError(f"the npy file's dtype must be {' or '.join(dtypes)}")
    dtype = np.dtype(header.descr)
    if math.prod(header.shape) * dtype.itemsize != len(content) - header.start:
        raise NpyError("the npy file's values do not fit its shape")
    return np.frombuffer(content, dtype, offset=header.start).reshape(header.shape, order=header.order)


def read_mel(source: Path | BinaryIO) -> NDArray[np.float32]:
    """Read a mel (n_mels, frames), or a batch of one; raises a ValueError if there is none, or an OSError."""
    content = _start_of(source, -1)
    header = _header_of(content)
    return read_array(content, FLOATS).reshape(header.shape[-2:]).astype(np.float32)


def mel_frames(path: Path) -> int:
    """Return the number of frames of a mel file, reading only its header; raises the errors of `read_mel`."""
    return _header_of(_start_of(path, LONGEST_HEAD)).shape[-1]


def _start_of(source: Path | BinaryIO, size: int) -> bytes:
    if not isinstance(source, Path):
        return source.read(size)
    try:
        with source.open("rb") as file:
            return file.read(size)
    except (FileNotFoundError, IsADirectoryError) as error:
        kind = "it is a folder, not a file" if source.is_dir() else f"there is no file {source}"
        raise type(error)(kind) from None


def _header_of(start: bytes) -> NpyHeader:
    try:
        header = read_header(start)
    except NpyError as error:
        if start.startswith(MAGIC):
            raise
        found = kind_of(start, "`vocoder mel` computes a mel from audio")
        what = found or "it does not begin like one; numpy.save writes one"
        raise ValueError(f"this is not an npy file of numbers: {what}") from error
    if header.descr not in FLOATS:
        raise ValueError(f"a mel must hold floats, not {header.descr or 'records'}")
    shape = header.shape[1:] if header.shape[:1] == (1,) and len(header.shape) == 3 else header.shape
    if len(shape) != 2 or 0 in shape:
        several = "; save one mel per file" if len(shape) == 3 else ""
        raise ValueError(f"a mel must be (n_mels, frames) with at least one frame, not {shape}{several}")
    return header


def kind_of(start: bytes, advice: str) -> str:
    """Describe a file by its first nine bytes or more, and for audio give the `advice`; empty if unknown."""
    if not start:
        return "it is empty"
    if audio := {b"RIFF": "a wav", b"fLaC": "a flac", b"OggS": "an ogg"}.get(start[:4]):
        return f"it is {audio} file; {advice}"
    packed = {b"PK\x03\x04": "a zip archive, as .npz and .pt are", b"\x80": "a pickle"}
    found = next((name for magic, name in packed.items() if start.startswith(magic)), "")
    found = "a safetensors file" if start[8:9] == b"{" else found
    return f"it is {found}: save the mel itself with numpy.save" if found else ""


def npy_bytes(array: NDArray[np.float32]) -> bytes:
    """Return an array as an npy file of little-endian 32-bit floats."""
    stream = io.BytesIO()
    np.save(stream, np.ascontiguousarray(array, "<f4"), allow_pickle=False)
    return stream.getvalue()
