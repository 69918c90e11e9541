"""Read and write audio files as one channel of 32-bit floats."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from vocoder.audio.origin import Origin, mark
from vocoder.audio.resampling import resample

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".au"})
"""of the files that `read_audio` reads"""
_BLOCK = 1 << 15  # libsndfile's Vorbis encoder keeps each block on the stack
OGG_MAGIC = b"OggS"
OGG_HEAD = 27  # bytes of a page before its segment table (RFC 3533, section 6)
FIRST_PAGE = 2  # the flag of a stream's first page


class AudioError(ValueError):
    """Audio cannot be read or written; the text says why and what to do."""


class AudioTooLongError(AudioError):
    """Audio is longer than allowed."""


@dataclasses.dataclass(frozen=True)
class AudioFormat:
    """A container and an encoding, by libsndfile's names.

    `bits` are those of an integer sample, None for floats and lossy encodings; `sample_rates` are the rates in Hz that
    the encoding supports, empty for any.
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
            "MP3", "MPEG_LAYER_III", sample_rates=(8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
        ),
    }
)


@dataclasses.dataclass(frozen=True)
class AudioInfo:
    """Format and origin of an audio file.

    `container` and `encoding` are libsndfile's names, `program` is what wrote the file, if it says so, and `origin`
    where the audio comes from, if this package wrote it.
    """

    container: str
    encoding: str
    sample_rate: int
    channels: int
    seconds: float
    program: str | None
    origin: Origin | None


@dataclasses.dataclass(frozen=True)
class WriteReport:
    """What writing did to the audio.

    `sample_rate` is that of the file in Hz, which may differ from the request; `peak` the largest magnitude before
    clipping, and `clipped` the number of samples beyond full scale.
    """

    sample_rate: int
    peak: float
    clipped: int = 0

    def __str__(self) -> str:
        if self.clipped:
            return f"clipped {self.clipped} samples to full scale (peak {self.peak:.3f})"
        return f"peak {self.peak:.3f}"


def read_audio(
    source: str | Path | BinaryIO, sample_rate: int | None = None, max_seconds: float | None = None
) -> tuple[NDArray[np.float32], int]:
    """Read an audio file in any format that libsndfile supports: wav, flac, ogg (Vorbis, Opus), mp3, aiff and others.

    Args:
        source: a path, or a seekable binary file.
        sample_rate: Hz to resample to; None keeps the file's own.
        max_seconds: refuse longer audio, without reading more than that.

    Returns x (T,), the mean of the channels, and its sample rate. Full scale is 1; float files may exceed it.

    Raises:
        AudioError: not an audio file, no samples in it, samples that are not finite, or a chain of Ogg streams.
        AudioTooLongError: it is longer than `max_seconds`.
        FileNotFoundError: there is no such file.
    """
    name = _name(source)
    with _reading(source) as file:
        file_rate: int = file.samplerate
        limit = -1 if max_seconds is None else int(max_seconds * file_rate) + 1
        samples = file.read(limit, dtype="float32", always_2d=True)
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


def audio_info(source: str | Path | BinaryIO) -> AudioInfo:
    """Read format and origin of an audio file, without its samples; raises as `read_audio`."""
    with _reading(source) as file:
        seconds, origin = file.frames / file.samplerate, Origin.of_json(file.comment or "")
        return AudioInfo(
            file.format, file.subtype, file.samplerate, file.channels, seconds, file.software or None, origin
        )


@contextmanager
def _reading(source: str | Path | BinaryIO) -> Iterator[soundfile.SoundFile]:
    """Open an audio file for reading; raises as `read_audio`."""
    name = _name(source)
    if isinstance(source, (str, Path)) and not Path(source).is_file():
        raise FileNotFoundError(f"there is no audio file {name}")
    try:
        with open_audio(source) as file:
            yield file
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise AudioError(f"cannot read {name}: {_failure(error)}") from None


def open_audio(source: str | Path | BinaryIO) -> soundfile.SoundFile:
    """Open an audio file, a path or a seekable binary file, for reading.

    Raises an AudioError for several chained Ogg streams, of which only the first would be read.
    """
    with Path(source).open("rb") if isinstance(source, (str, Path)) else nullcontext(source) as file:
        if is_chained_ogg(file):
            raise AudioError(f"{_name(source)} is a chain of several Ogg streams; make one file of each")
        file.seek(0)
    return soundfile.SoundFile(source)


def write_audio(
    target: str | Path | BinaryIO,
    x: NDArray[np.float32],
    sample_rate: int,
    *,
    format: str | None = None,
    origin: Origin | None = None,
) -> WriteReport:
    """Write audio x (T,) to a file and report samples beyond full scale, which are clipped.

    Args:
        target: a path, or a binary file; the latter needs `format`.
        x: audio (T,).
        sample_rate: Hz. Opus and mp3 support only some rates; for others the audio is resampled to the next one.
        format: a key of `AUDIO_FORMATS`; None takes the path's suffix.
        origin: the mark that says where the audio comes from, as `Synthesizer.origin` or an answer of the client has
            it; none by default.

    Raises an AudioError for an unknown format, other than finite floats (T,), or a directory that is not there.
    """
    encoding = AUDIO_FORMATS[_format_name(target, format)]
    if x.ndim != 1 or x.size == 0 or x.dtype.kind != "f" or not np.isfinite(x).all():
        raise AudioError(f"audio to write must be (T,) of finite floats, not {x.dtype} of shape {x.shape}")
    if isinstance(target, (str, Path)) and not Path(target).parent.is_dir():
        raise AudioError(f"cannot write {target}: there is no directory {Path(target).parent}")
    file_rate = nearest_rate(sample_rate, encoding.sample_rates)
    x = resample(x.astype(np.float32, copy=False), sample_rate, file_rate)
    clips = encoding.subtype != "FLOAT"
    beyond = int(np.count_nonzero(np.abs(x) > 1.0)) if clips else 0
    report = WriteReport(file_rate, float(np.abs(x).max()), beyond)
    x = np.clip(x, -1.0, 1.0) if clips else x
    samples = x if encoding.bits is None else quantise(x, encoding.bits)
    container, subtype = encoding.container, encoding.subtype
    try:
        with soundfile.SoundFile(target, "w", file_rate, 1, subtype, format=container) as file:
            mark(file, origin)
            for start in range(0, len(samples), _BLOCK):
                file.write(samples[start : start + _BLOCK])
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise AudioError(f"cannot write {_name(target)}: {_failure(error)}") from None
    return report


def nearest_rate(sample_rate: int, known: tuple[int, ...]) -> int:
    """Return sample_rate if it is `known` or nothing is; otherwise the next higher one, or the highest."""
    if not known or sample_rate in known:
        return sample_rate
    return min((rate for rate in known if rate > sample_rate), default=max(known))


def quantise(x: NDArray[np.float32], bits: int) -> NDArray[Any]:
    """Round audio to 16- or 24-bit integers, saturating.

    Full scale is 2 ** (bits - 1), as readers assume; the largest positive integer is one less. 24 bits come
    left-aligned in 32, as libsndfile wants them.
    """
    scale = 2.0 ** (bits - 1)
    integers = np.clip(np.rint(x.astype(np.float64) * scale), -scale, scale - 1.0)
    return integers.astype(np.int16) if bits == 16 else integers.astype(np.int32) << 8


def _format_name(target: str | Path | BinaryIO, format: str | None) -> str:
    if format is None and not isinstance(target, (str, Path)):
        raise AudioError(f"say which format to write: {', '.join(AUDIO_FORMATS)}")
    name = Path(str(target)).suffix.removeprefix(".").lower() if format is None else format
    if name not in AUDIO_FORMATS:
        raise AudioError(f"cannot write {_name(target)}: unknown format {name!r}; known: {', '.join(AUDIO_FORMATS)}")
    return name


def _name(place: str | Path | BinaryIO) -> str:
    return str(place) if isinstance(place, (str, Path)) else "the audio"


def _failure(error: RuntimeError) -> str:
    """Return libsndfile's reason, with a hint if the file is not audio."""
    reason = str(getattr(error, "error_string", error)).rstrip(".")
    if reason == "System error":  # libsndfile keeps the system's own words to itself
        return "the system refused it, as where a disk is full"
    hint = " (wav, flac, ogg, mp3 and others are audio; a mel in an npy file is not)" if "recogni" in reason else ""
    return reason + hint


def is_chained_ogg(file: BinaryIO) -> bool:
    """Return whether a file, read from its start, chains several Ogg streams; its position is lost."""
    file.seek(0)
    data_seen = False
    while (head := file.read(OGG_HEAD))[:4] == OGG_MAGIC and len(head) == OGG_HEAD:
        first = bool(head[5] & FIRST_PAGE)
        if first and data_seen:
            return True
        data_seen = data_seen or not first
        file.seek(sum(file.read(head[26])), 1)
    return False
