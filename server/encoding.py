"""Waveforms to response bodies: wav, flac, raw PCM, npy."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vocoder.audio import quantise, write_audio

__all__ = ["FORMATS", "Encoded", "Format", "npy_bytes"]

Waveform = NDArray[np.float32]


@dataclass(frozen=True)
class Encoded:
    """A waveform as bytes, and how many of its samples were cut at full scale on the way."""

    body: bytes
    clipped: int


@dataclass(frozen=True)
class Format:
    """One way to write a waveform.

    Attributes:
        name: what `format=` calls it.
        media_types: what Accept may call it; the first is the one answered with `format=`.
        encode: from samples (T,) and sample_rate to bytes. Integer formats cut samples outside [-1, 1] and count them,
            float formats keep them.
    """

    name: str
    media_types: tuple[str, ...]
    encode: Callable[[Waveform, int], Encoded]


def npy_bytes(array: NDArray[np.float32]) -> bytes:
    """Return an array as an npy file of little-endian 32-bit floats."""
    stream = io.BytesIO()
    np.save(stream, np.ascontiguousarray(array, "<f4"), allow_pickle=False)
    return stream.getvalue()


def _audio_file(kind: str, x: Waveform, sample_rate: int) -> Encoded:
    stream = io.BytesIO()
    report = write_audio(stream, x, sample_rate, format=kind)
    return Encoded(stream.getvalue(), report.clipped)


def _pcm(x: Waveform, sample_rate: int) -> Encoded:
    return Encoded(quantise(x, 16).astype("<i2").tobytes(), int(np.count_nonzero(np.abs(x) > 1.0)))


def _npy(x: Waveform, sample_rate: int) -> Encoded:
    return Encoded(npy_bytes(x), 0)


# In order of preference where a client takes several.
FORMATS = (
    Format("wav", ("audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"), partial(_audio_file, "wav")),
    Format("flac", ("audio/flac", "audio/x-flac"), partial(_audio_file, "flac")),
    Format("npy", ("application/x-npy",), _npy),
    Format("pcm", ("application/octet-stream", "audio/pcm"), _pcm),
    Format("wav_f32", ("audio/wav",), partial(_audio_file, "wav_f32")),
)
