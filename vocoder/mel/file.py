"""Mel files: one mel-spectrogram as an npy file of floats (n_mels, frames). Nothing in a file is executed."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from vocoder.npy import LONGEST_HEAD, MAGIC, NpyError, NpyHeader, read_array, read_header

FLOATS = tuple(f"{order}f{size}" for order in "<>" for size in (2, 4, 8))


def read_mel(source: Path | BinaryIO) -> NDArray[np.float32]:
    """Read a mel (n_mels, frames); the file may hold a batch of one.

    Raises:
        ValueError: the file holds no mel.
        OSError: the file cannot be read.
    """
    content = _start_of(source, -1)
    header = _header_of(content)
    try:
        mel = read_array(content, FLOATS)
    except NpyError as error:
        raise ValueError(f"this is no npy file of numbers: {error}") from error
    return mel.reshape(header.shape[-2:]).astype(np.float32)


def mel_frames(path: Path) -> int:
    """Return the number of frames of a mel file, reading only its header; raises as `read_mel`."""
    return _header_of(_start_of(path, LONGEST_HEAD)).shape[-1]


def _start_of(source: Path | BinaryIO, size: int) -> bytes:
    if not isinstance(source, Path):
        return source.read(size)
    try:
        with source.open("rb") as file:
            return file.read(size)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no file {source}") from None


def _header_of(start: bytes) -> NpyHeader:
    try:
        header = read_header(start)
    except NpyError as error:
        known = "it is cut off, or no array of numbers" if start.startswith(MAGIC) else ""
        what = known or kind_of(start, "`vocoder mel` makes a mel of audio") or "it begins with something else"
        raise ValueError(f"this is no npy file of numbers: {what}") from error
    if header.descr not in FLOATS:
        raise ValueError(f"a mel holds floats, not {header.descr}")
    shape = header.shape[1:] if header.shape[:1] == (1,) and len(header.shape) == 3 else header.shape
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"a mel is (n_mels, frames), at least one frame, not {shape}; one file holds one mel")
    return header


def kind_of(start: bytes, advice: str) -> str:
    """Return what a file is, judged by its first bytes, at least four; empty if unknown.

    For audio, `advice` says how to get to a mel.
    """
    if not start:
        return "it is empty"
    audio = {b"RIFF": "a wav", b"fLaC": "a flac", b"OggS": "an ogg"}.get(start[:4])
    if audio is not None:
        return f"it is {audio} file; {advice}"
    packed = {b"PK\x03\x04": "a zip archive, as .npz and .pt are", b"\x80": "a pickle"}
    found = [name for magic, name in packed.items() if start.startswith(magic)]
    return f"it is {found[0]}: save the mel itself with numpy.save" if found else ""
