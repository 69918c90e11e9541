"""Decode any recording to mono float samples, G.722 and compressed formats included."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import soundfile

__all__ = ["DecodeError", "decode"]

_SOUNDFILE = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".au"})
_RAW_FORMATS = {".g722": "g722", ".gsm": "gsm"}


class DecodeError(ValueError):
    """A file is not audio that can be decoded."""


def decode(path: Path) -> tuple[np.ndarray, int]:
    """Decode a file to (x, sample_rate); x is (T,) float32 in [-1, 1], the mean of its channels.

    Raises:
        DecodeError: the file cannot be decoded.
    """
    try:
        x, sample_rate = _with_soundfile(path) if path.suffix.lower() in _SOUNDFILE else _with_av(path)
    except DecodeError:
        raise
    except (soundfile.SoundFileError, av.FFmpegError, OSError, StopIteration, ValueError) as error:
        raise DecodeError(f"{path}: {error}") from error
    if not np.isfinite(x).all():
        raise DecodeError(f"{path} holds samples that are not finite")
    return x, sample_rate


def _with_soundfile(path: Path) -> tuple[np.ndarray, int]:
    x, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
    return x.mean(axis=1), int(sample_rate)


def _with_av(path: Path) -> tuple[np.ndarray, int]:
    with av.open(str(path), format=_RAW_FORMATS.get(path.suffix.lower())) as container:
        if not container.streams.audio:
            raise DecodeError(f"{path} has no audio stream")
        sample_rate = container.streams.audio[0].rate
        resampler = av.AudioResampler(format="fltp", rate=sample_rate)
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
    if not frames:
        raise DecodeError(f"{path} holds no sample")
    x = np.concatenate([frame.to_ndarray().mean(axis=0) for frame in frames])
    return x.astype(np.float32), int(sample_rate)
