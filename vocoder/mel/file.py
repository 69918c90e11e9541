"""Mel files: one mel-spectrogram as an npy file of floats (n_mels, frames). Nothing in a file is executed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vocoder.npy import LONGEST_HEAD, MAGIC, NpyError, read_header


def read_mel(path: Path) -> NDArray[np.float32]:
    """Read a mel (n_mels, frames); the file may hold a batch of one.

    Raises:
        ValueError: the file holds no mel.
        OSError: the file cannot be read.
    """
    return np.array(_mapped(path), dtype=np.float32)


def mel_frames(path: Path) -> int:
    """Return the number of frames of a mel file, reading only its header.

    Raises:
        ValueError, OSError: as in `read_mel`.
    """
    return int(_mapped(path).shape[1])


def _mapped(path: Path) -> NDArray[np.floating]:
    try:
        with path.open("rb") as file:
            header = read_header(file.read(LONGEST_HEAD))
        dtype = np.dtype(header.descr or object)
        if dtype.hasobject:
            raise NpyError("it holds objects")
        # A header with a false size allocates nothing.
        mel = np.memmap(path, dtype, "r", header.start, header.shape, header.order)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no file {path}") from None
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"this is no npy file of numbers: {_what_it_is(path)}") from error
    if mel.dtype.kind != "f":
        raise ValueError(f"a mel holds floats, not {mel.dtype}")
    if mel.ndim == 3 and mel.shape[0] == 1:
        mel = mel[0]
    if mel.ndim != 2 or 0 in mel.shape:
        raise ValueError(f"a mel is (n_mels, frames), at least one frame, not {mel.shape}; one file holds one mel")
    return mel


def _what_it_is(path: Path) -> str:
    """Return what a file is if it is not an npy file."""
    with path.open("rb") as file:
        start = file.read(6)
    if start == MAGIC:
        return "it is cut off, or holds Python objects"
    return kind_of(start, "`vocoder mel` makes a mel of audio") or "it begins with something else"


def kind_of(start: bytes, advice: str) -> str:
    """Return what a file is, judged by its first bytes; empty if unknown.

    Args:
        start: the first bytes, at least four.
        advice: how to get from audio to a mel.
    """
    if not start:
        return "it is empty"
    audio = {b"RIFF": "a wav", b"fLaC": "a flac", b"OggS": "an ogg"}.get(start[:4])
    if audio is not None:
        return f"it is {audio} file; {advice}"
    packed = {b"PK\x03\x04": "a zip archive, as .npz and .pt are", b"\x80": "a pickle"}
    found = [name for magic, name in packed.items() if start.startswith(magic)]
    return f"it is {found[0]}: save the mel itself with numpy.save" if found else ""
