"""Audio files in and out, as one channel of 32-bit floats."""

from __future__ import annotations

import dataclasses
import io
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, Literal

import numpy as np
import soundfile
from numpy.typing import NDArray

from vocoder.audio.container import is_chained_ogg, mpeg_start
from vocoder.audio.origin import Origin, mark
from vocoder.audio.resampling import resample

__all__ = [
    "AUDIO_FORMATS",
    "AudioError",
    "AudioFormat",
    "AudioTooLongError",
    "WriteReport",
    "failure",
    "open_audio",
    "peak",
    "quantise",
    "read_audio",
    "resample",
    "write_audio",
]

_BLOCK = 1 << 15  # libsndfile's Vorbis encoder keeps what one call gives it on the stack


class AudioError(ValueError):
    """Audio cannot be read or written; the text says which, why, and what would do."""


class AudioTooLongError(AudioError):
    """Audio is longer than it may be."""


@dataclasses.dataclass(frozen=True)
class AudioFormat:
    """A container and an encoding of libsndfile.

    Attributes:
        container: libsndfile's name of the file format.
        subtype: libsndfile's name of the encoding.
        bits: bits of an integer sample; None for floats and for lossy encodings.
        sample_rates: Hz, the only ones that the encoding knows; empty means any.
    """

    container: str
    subtype: str
    bits: int | None = None
    sample_rates: tuple[int, ...] = ()


AUDIO_FORMATS: MappingProxyType[str, AudioFormat] = MappingProxyType(
    {
        "wav": AudioFormat("WAV", "PCM_16", bits=16),
        "wav_24": AudioFormat("WAV", "PCM_24", bits=24),
        "wav_f32": AudioFormat("WAV", "FLOAT"),
        "flac": AudioFormat("FLAC", "PCM_16", bits=16),
        "flac_24": AudioFormat("FLAC", "PCM_24", bits=24),
        "ogg": AudioFormat("OGG", "VORBIS"),
        "opus": AudioFormat("OGG", "OPUS", sample_rates=(8000, 12000, 16000, 24000, 48000)),
        "mp3": AudioFormat(
            "MP3",
            "MPEG_LAYER_III",
            sample_rates=(8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
        ),
    }
)


@dataclasses.dataclass(frozen=True)
class WriteReport:
    """What writing did to the audio.

    Attributes:
        sample_rate: Hz in the file; another than was asked where the format does not know that one.
        peak: the largest magnitude before anything was done about it.
        clipped: samples beyond full scale that were set to it.
        gain: the factor that the whole clip was multiplied by.
    """

    sample_rate: int
    peak: float
    clipped: int = 0
    gain: float = 1.0

    def __str__(self) -> str:
        if self.clipped:
            return f"clipped {self.clipped} samples to full scale (peak {self.peak:.3f})"
        if self.gain != 1.0:
            return f"scaled by {self.gain:.4f} to keep a peak of {self.peak:.3f} within full scale"
        return f"peak {self.peak:.3f}"


def read_audio(
    source: str | Path | BinaryIO, sample_rate: int | None = None, max_seconds: float | None = None
) -> tuple[NDArray[np.float32], int]:
    """Read an audio file of any format that libsndfile knows: wav, flac, ogg (Vorbis, Opus), mp3, aiff and others.

    Args:
        source: a path, or a binary file that can seek.
        sample_rate: Hz to resample to; None keeps the file's own.
        max_seconds: refuse longer audio, having read no more than that of it.

    Returns:
        x (T,), the mean of the channels, and its sample rate. Full scale is 1; files of floats may go beyond.

    Raises:
        AudioError: not an audio file, no samples in it, samples that are not finite, or a chain of Ogg streams.
        AudioTooLongError: it is longer than `max_seconds`.
        FileNotFoundError: there is no such file.
    """
    name = _name(source)
    if isinstance(source, (str, Path)) and not Path(source).is_file():
        raise FileNotFoundError(f"there is no audio file {name}")
    try:
        with open_audio(source) as file:
            file_rate: int = file.samplerate
            limit = -1 if max_seconds is None else int(max_seconds * file_rate) + 1
            samples = file.read(limit, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise AudioError(f"cannot read {name}: {failure(error)}") from None
    if max_seconds is not None and len(samples) > max_seconds * file_rate:
        raise AudioTooLongError(f"{name} is longer than {max_seconds:g} s")
    if len(samples) == 0:
        raise AudioError(f"{name} holds no samples")
    if not np.isfinite(samples).all():
        raise AudioError(f"{name} holds samples that are not finite")
    x = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    try:
        return (x, file_rate) if sample_rate is None else (resample(x, file_rate, sample_rate), sample_rate)
    except ValueError as error:
        raise AudioError(f"{name}: {error}") from None


def open_audio(source: str | Path | BinaryIO) -> soundfile.SoundFile:
    """Open an audio file for reading; MPEG audio may have other bytes before it, such as the rest of a cut frame.

    Args:
        source: a path, or a binary file that can seek.

    Raises:
        AudioError: a chain of Ogg streams, of which only the first would be read.
        soundfile.LibsndfileError: not an audio file.
    """
    with _binary(source) as file:
        if is_chained_ogg(file):
            raise AudioError(f"{_name(source)} is a chain of several Ogg streams; make one file of each")
        file.seek(0)
    try:
        return soundfile.SoundFile(source)
    except soundfile.LibsndfileError:
        with _binary(source) as file:
            file.seek(0)
            data = file.read()
        start = mpeg_start(data)
        if start is None:
            raise
        return soundfile.SoundFile(io.BytesIO(data[start:]))


def write_audio(
    target: str | Path | BinaryIO,
    x: NDArray[np.float32],
    sample_rate: int,
    *,
    format: str | None = None,
    clip: Literal["report", "error", "scale"] = "report",
    origin: Origin | None = None,
) -> WriteReport:
    """Write audio to a file, and say what became of samples beyond full scale.

    Args:
        target: a path, or a binary file; the latter needs `format`.
        x: audio (T,).
        sample_rate: Hz. Opus and mp3 know some rates only; others are resampled to the next one that they know.
        format: a key of `AUDIO_FORMATS`; None takes the path's suffix.
        clip: for samples beyond [-1, 1], set them to full scale and count them ("report"; formats of floats keep
            them), refuse ("error"), or make the whole clip quieter ("scale").
        origin: what the file says of where the audio comes from; nothing if left out.

    Raises:
        AudioError: unknown format, x not (T,) of finite floats, samples beyond full scale with "error", no such
            directory.
    """
    encoding = AUDIO_FORMATS[_format_name(target, format)]
    if clip not in ("report", "error", "scale"):
        raise AudioError(f"clip must be 'report', 'error' or 'scale', not {clip!r}")
    if x.ndim != 1 or x.size == 0 or x.dtype.kind != "f" or not np.isfinite(x).all():
        raise AudioError(f"audio to write must be (T,) of finite floats, not {x.dtype} of shape {x.shape}")
    file_rate = _nearest_rate(sample_rate, encoding.sample_rates)
    x, report = _fit(resample(x.astype(np.float32, copy=False), sample_rate, file_rate), file_rate, encoding, clip)
    samples = x if encoding.bits is None else quantise(x, encoding.bits)
    if isinstance(target, (str, Path)) and not Path(target).parent.is_dir():
        raise AudioError(f"cannot write {target}: there is no directory {Path(target).parent}")
    try:
        with soundfile.SoundFile(
            target, "w", samplerate=file_rate, channels=1, format=encoding.container, subtype=encoding.subtype
        ) as file:
            mark(file, origin)
            for start in range(0, len(samples), _BLOCK):
                file.write(samples[start : start + _BLOCK])
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise AudioError(f"cannot write {_name(target)}: {failure(error)}") from None
    return report


def quantise(x: NDArray[np.float32], bits: int) -> NDArray[Any]:
    """Round audio to integers of 16 or 24 bits, saturated, never wrapped.

    Full scale is 2 ** (bits - 1), as readers assume; the largest positive integer is one less. 24 bits come
    left-aligned in 32, as libsndfile wants them.

    Raises:
        ValueError: bits is neither.
    """
    if bits not in (16, 24):
        raise ValueError(f"bits must be 16 or 24, not {bits}")
    scale = 2.0 ** (bits - 1)
    integers = np.clip(np.rint(x.astype(np.float64) * scale), -scale, scale - 1.0)
    return integers.astype(np.int16) if bits == 16 else integers.astype(np.int32) << 8


def peak(x: NDArray[np.float32]) -> float:
    """Return the largest magnitude in audio, 0 where there is none."""
    return float(np.max(np.abs(x), initial=0.0))


def _fit(
    x: NDArray[np.float32], sample_rate: int, encoding: AudioFormat, clip: str
) -> tuple[NDArray[np.float32], WriteReport]:
    highest = peak(x)
    if highest <= 1.0:
        return x, WriteReport(sample_rate, highest)
    beyond = int(np.count_nonzero(np.abs(x) > 1.0))
    if clip == "error":
        raise AudioError(f"{beyond} of {x.size} samples are beyond full scale (peak {highest:.3f})")
    if clip == "scale":
        return x * np.float32(1.0 / highest), WriteReport(sample_rate, highest, gain=1.0 / highest)
    if encoding.subtype == "FLOAT":
        return x, WriteReport(sample_rate, highest)
    return np.clip(x, -1.0, 1.0), WriteReport(sample_rate, highest, clipped=beyond)


def _nearest_rate(sample_rate: int, known: tuple[int, ...]) -> int:
    if not known or sample_rate in known:
        return sample_rate
    return min((rate for rate in known if rate > sample_rate), default=max(known))


def _format_name(target: str | Path | BinaryIO, format: str | None) -> str:
    if format is None and not isinstance(target, (str, Path)):
        raise AudioError(f"say which format to write: {', '.join(AUDIO_FORMATS)}")
    name = Path(str(target)).suffix.removeprefix(".").lower() if format is None else format
    if name not in AUDIO_FORMATS:
        raise AudioError(f"cannot write {_name(target)}: unknown format {name!r}; known: {', '.join(AUDIO_FORMATS)}")
    return name


def _binary(source: str | Path | BinaryIO) -> AbstractContextManager[BinaryIO]:
    return Path(source).open("rb") if isinstance(source, (str, Path)) else nullcontext(source)


def _name(place: str | Path | BinaryIO) -> str:
    return str(place) if isinstance(place, (str, Path)) else "the audio"


def failure(error: RuntimeError) -> str:
    """Return what libsndfile says was wrong, and what files are audio where one is none."""
    reason = str(getattr(error, "error_string", error)).rstrip(".")
    hint = " (wav, flac, ogg, mp3 and others are audio; a mel in an npy file is not)" if "recogni" in reason else ""
    return reason + hint
