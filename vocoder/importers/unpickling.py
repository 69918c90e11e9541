"""Read PyTorch's checkpoint files, zip and older, without running anything that they name.

`torch.load(weights_only=True)` will not do: it refuses modules pickled in the older format, which NVIDIA published.
"""

from __future__ import annotations

import io
import pickle
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from vocoder.checkpoint import CheckpointError
from vocoder.importers.stand_ins import StoragePiece, stand_ins
from vocoder.importers.tuple_sizes import check_tuples

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # the number that PyTorch's older format starts with
MAX_PICKLE = 1 << 24  # bytes of the pickle itself; the weights lie outside it
MAX_VALUES = 1 << 33


def read_pickled(path: Path) -> Any:
    """Return the object that `torch.save` wrote, classes replaced by inert stand-ins and tensors on the CPU.

    Nothing that it names is imported or called. Raises a CheckpointError if the file is damaged or no PyTorch file, or
    names a class or function that no checkpoint needs.
    """
    try:
        if zipfile.is_zipfile(path):
            return _read_zip(path)
        with path.open("rb") as file:
            return _read_legacy(file)
    except CheckpointError as error:
        raise CheckpointError(f"{path} cannot be imported: {error}") from None
    except OSError:
        raise
    except Exception as error:  # whatever a damaged or hostile pickle makes the unpickler raise
        raise CheckpointError(f"{path} is no PyTorch checkpoint, or is damaged ({error})") from error


class _Unpickler(pickle.Unpickler):
    """An unpickler whose only classes and functions are the stand-ins."""

    def __init__(self, file: BinaryIO, storage: Callable[[Any], StoragePiece]) -> None:
        super().__init__(file, encoding="utf-8")
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        found = stand_ins(module, name)
        if found is None:
            raise CheckpointError(
                f"its pickle asks for {module}.{name}, which no checkpoint needs and which is not run"
            )
        return found

    def persistent_load(self, pid: Any) -> Any:
        if not isinstance(pid, tuple) or not pid:
            raise CheckpointError("it refers to something that is no storage")
        if pid[0] == "module":  # the source text of a pickled class, beside that class
            return pid[1]
        if pid[0] != "storage" or len(pid) < 5:
            raise CheckpointError("it refers to something that is no storage")
        return self._storage(pid)


def _read_zip(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        names = {info.filename: info for info in archive.infolist()}
        roots = [name.removesuffix("data.pkl") for name in names if name.rpartition("/")[2] == "data.pkl"]
        if len(roots) != 1 or f"{roots[0]}constants.pkl" in names:
            raise CheckpointError("it is a zip file, but not one of torch.save")
        root, kept = roots[0], dict[str, StoragePiece]()
        byteorder = f"{root}byteorder"
        swapped = byteorder in names and _stored(archive, names, byteorder, 16).decode() != sys.byteorder

        def storage(pid: Any) -> StoragePiece:
            """Return the values that a persistent id names: its dtype, file and number of values."""
            dtype, key, count = pid[1], str(pid[2]), int(pid[4])
            if key not in kept:
                kept[key] = _piece(_stored(archive, names, f"{root}data/{key}"), dtype, count, swapped)
            return kept[key]

        data = _stored(archive, names, f"{root}data.pkl", MAX_PICKLE)
        check_tuples(data)
        return _Unpickler(io.BytesIO(data), storage).load()


def _stored(archive: zipfile.ZipFile, names: dict[str, zipfile.ZipInfo], name: str, limit: int | None = None) -> bytes:
    if name not in names:
        raise CheckpointError(f"its part {name} is missing")
    info = names[name]
    if info.compress_type != zipfile.ZIP_STORED or (limit is not None and info.file_size > limit):
        raise CheckpointError(f"its part {name} is compressed or too large, which torch.save never writes")
    return archive.read(name)


def _read_legacy(file: BinaryIO) -> Any:
    """Read the format before PyTorch 1.6: three small pickles, the object, the keys, and the values of each."""
    pending: dict[str, StoragePiece] = {}
    announced: dict[str, tuple[torch.dtype, int]] = {}

    def storage(pid: Any) -> StoragePiece:
        """Return the values that a persistent id names, which follow later: zeros until then."""
        dtype, key, count = pid[1], str(pid[2]), int(pid[4])
        if not isinstance(dtype, torch.dtype) or not 0 <= count < MAX_VALUES or (len(pid) > 5 and pid[5] is not None):
            raise CheckpointError("one of its storages is of an unknown kind")
        if key not in pending:
            size = torch.empty(0, dtype=dtype).element_size() * count
            pending[key] = StoragePiece(_reserved(file, dtype, count, size))
            announced[key] = dtype, count
        return pending[key]

    def plain() -> Any:
        start = file.tell()
        check_tuples(file)
        file.seek(start)
        return _Unpickler(file, storage).load()

    if plain() != LEGACY_MAGIC:
        raise CheckpointError("it does not start as a file of torch.save does")
    plain()  # the version of the protocol
    system = plain()
    swapped = isinstance(system, dict) and bool(system.get("little_endian", True)) != (sys.byteorder == "little")
    made = plain()
    for key in map(str, plain()):
        (count,) = struct.unpack("<q", file.read(8))
        if key not in announced or count != announced[key][1]:
            raise CheckpointError(f"its storage {key} has another size than announced")
        dtype = announced[key][0]
        values = pending[key].values
        values.copy_(_piece(_exactly(file, values.nbytes), dtype, count, swapped).values)
    return made


def _reserved(file: BinaryIO, dtype: Any, count: int, size: int) -> Tensor:
    """Return zeros for a storage whose values come later in the file, if the file can hold them."""
    here = file.tell()
    end = file.seek(0, io.SEEK_END)
    file.seek(here)
    if size > end:
        raise CheckpointError("it ends before its weights do")
    return torch.zeros(count, dtype=dtype)


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise CheckpointError("it ends before its weights do")
    return data


def _piece(data: bytes, dtype: Any, count: int, swapped: bool) -> StoragePiece:
    if not isinstance(dtype, torch.dtype):
        raise CheckpointError("one of its storages is of an unknown kind")
    size = torch.empty(0, dtype=dtype).element_size()
    if len(data) < count * size or count < 0:
        raise CheckpointError("it ends before its weights do")
    if count == 0:
        return StoragePiece(torch.empty(0, dtype=dtype))
    raw = torch.frombuffer(bytearray(data[: count * size]), dtype=torch.uint8)
    if swapped and size > 1:
        raw = raw.reshape(-1, size).flip(1).reshape(-1).contiguous()
    return StoragePiece(raw.view(dtype))
