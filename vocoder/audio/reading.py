"""Read audio files as one channel of 32-bit floats."""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from vocoder.audio.resampling import resample

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".au"})
"""suffixes of the files that `read_audio` reads"""
OGG_MAGIC = b"OggS"
OGG_HEAD = 27  # bytes of a page before its segment table (RFC 3533, section 6)
FIRST_PAGE = 2  # flag of a stream's first page
LOUDEST = 1000.0
CANCELLED = 0.003  # peak of the mean of channels, as a share of theirs, below which nothing of them is left (-50 dB)
UNKNOWN = 2**63 - 1  # libsndfile's frame count if the header gives none
SHORTENED = re.compile(r"^ *(?:data|SSND|Data Size|Riff size|riff) *: (\d+) \(should be (\d+)\)", re.MULTILINE)
"""libsndfile's log, if a wav, rf64, w64, aiff or au file ends early"""
MP3_LENGTH = re.compile(rb"\xff[\xe0-\xff]..\0{9,34}(Xing|Info)", re.DOTALL)  # the frame with an MP3 file's length
MP3_THIRD = re.escape(bytes(i for i in range(256) if 0 < i >> 4 < 15 and i & 12 != 12))  # bit and sample rates
MP3_FRAME = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][" + MP3_THIRD + rb"]")
MP3_KBPS = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)  # bit rates of MPEG 2, and below of MPEG 1
MP3_KBPS_1 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
ANY_LENGTH = 2**31 - 2**20  # least size of samples in a header that stands for an unknown length, in bytes

AudioFile = str | Path | BinaryIO  # a path, or a seekable binary file


class AudioError(ValueError):
    """Audio cannot be read or written; the message says why and what to do."""


class AudioTooLongError(AudioError):
    """Audio is longer than allowed."""


class ChannelsCancelError(AudioError):
    """The channels of audio have a silent mean."""


def read_audio(
    source: AudioFile, sample_rate: int | None = None, max_seconds: float | None = None
) -> tuple[NDArray[np.float32], int]:
    """Read an audio file in any format that libsndfile supports: wav, flac, ogg (Vorbis, Opus), mp3, aiff and others.

    Returns x (T,), the mean of the channels, resampled to `sample_rate` (Hz) unless that is None, and its sample rate.
    Full scale is 1; float files may exceed it.

    Raises:
        AudioError: the file is not audio or has no samples, samples are not finite or more than 60 dB above full
            scale, or it is truncated, a chain of Ogg streams or MP3 files, or FLAC without its length.
        AudioTooLongError: the audio is longer than `max_seconds`, beyond which nothing is read.
        ChannelsCancelError: the channels cancel out, as of opposite phase.
        FileNotFoundError: the file does not exist.
    """
    name = name_of(source)
    with reading(source) as file:
        file_rate: int = file.samplerate
        limit = file.frames if max_seconds is None else min(file.frames, int(max_seconds * file_rate) + 1)
        try:
            samples, is_mp3 = file.read(limit, dtype="float32", always_2d=True), file.format == "MP3"
        except MemoryError:  # samples that do not exist cost no memory, unless it cannot even be reserved
            damaged = f"it is truncated or damaged (it claims {limit} samples, more than memory holds)"
            raise AudioError(f"cannot read {name}: {damaged}") from None
        missing = limit - len(samples)
    if missing > 0.1 * file_rate and (not is_mp3 or gives_mp3_length(source)):  # encoders' counts differ slightly
        raise AudioError(f"{name} is truncated: the last {missing / file_rate:.1f} s of its samples are missing")
    if max_seconds is not None and len(samples) > max_seconds * file_rate:
        raise AudioTooLongError(f"{name} is longer than {max_seconds:g} s")
    if len(samples) == 0:
        raise AudioError(f"{name} holds no samples")
    if not np.isfinite(samples).all():
        raise AudioError(f"{name} holds samples that are not finite")
    if (peak := np.abs(samples).max()) > LOUDEST:
        raise AudioError(f"{name} has samples up to {peak:.6g}, but full scale is 1: divide 16-bit integers by 32768")
    x = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    if np.abs(x).max() < CANCELLED * peak:
        raise ChannelsCancelError(f"the channels of {name} cancel out, as of opposite phase: keep one of them")
    try:
        return (x, file_rate) if sample_rate is None else (resample(x, file_rate, sample_rate), sample_rate)
    except ValueError as error:
        raise AudioError(f"{name}: {error}") from None


@contextmanager
def reading(source: AudioFile) -> Iterator[soundfile.SoundFile]:
    """Open an audio file for reading; raises the errors of `read_audio`."""
    name = name_of(source)
    if isinstance(source, (str, Path)) and not Path(source).is_file():
        if Path(source).is_dir():
            raise IsADirectoryError(f"{name} is a folder, not an audio file")
        raise FileNotFoundError(f"there is no audio file {name}")
    try:
        with open_audio(source) as file:
            yield file
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise AudioError(f"cannot read {name}: {failure_of(error)}") from None


@contextmanager
def open_audio(source: AudioFile) -> Iterator[soundfile.SoundFile]:
    """Open an audio file, a path or a seekable binary file, for reading.

    Raises an AudioError for chained Ogg streams, since only the first would be read, for FLAC without its length, which
    libsndfile cannot read to the end, for MP3 files that it would end early, and for truncated wav, aiff, au and Ogg.
    """
    with _bytes_of(source) as file:
        if fault := ogg_fault(file):
            raise AudioError(f"{name_of(source)} is {fault}")
        file.seek(0)
    with soundfile.SoundFile(source if isinstance(source, (str, Path)) else _Within(source)) as opened:
        if opened.format == "FLAC" and opened.frames == UNKNOWN:
            fault = "a FLAC stream without its length: convert it to wav or a flac file"
        elif (said := SHORTENED.search(opened.extra_info)) and int(said[2]) + 1 < int(said[1]) < ANY_LENGTH:
            fault = f"truncated: it has {said[2]} of its {said[1]} bytes of samples"
        elif opened.format == "MP3":
            with _bytes_of(source) as file:
                place = file.tell()
                file.seek(0)
                samples = mp3_samples(file.read())
                file.seek(place)
            if samples > opened.frames + 4 * 1152:  # encoders add two frames, and one with the length
                several = "several MP3 files in one, or one that does not say how long it is"
                fault = f"{several} ({samples} samples): convert it to wav"
        if fault:
            raise AudioError(f"{name_of(source)} is {fault}")
        yield opened


class _Within:
    """A file in which libsndfile may seek to places that do not exist, as damaged headers make it do."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place; stay where it is if there is no such place."""
        with suppress(ValueError, OSError, OverflowError):
            self._file.seek(offset, whence)
        return self._file.tell()

    def __getattr__(self, name: str) -> Any:
        """Return other attributes of the file."""
        return getattr(self._file, name)


def _bytes_of(source: AudioFile) -> AbstractContextManager[BinaryIO]:
    return Path(source).open("rb") if isinstance(source, (str, Path)) else nullcontext(source)


def gives_mp3_length(source: AudioFile) -> bool:
    """Return whether an MP3 file says how long it is; otherwise libsndfile's frame count is a guess."""
    with _bytes_of(source) as file:
        file.seek(0)
        head = file.read(10)  # an ID3 tag may hold a picture
        file.seek(sum(byte << 7 * i for i, byte in enumerate(head[:5:-1])) if head.startswith(b"ID3") else 0)
        return MP3_LENGTH.search(file.read(2**16)) is not None


def mp3_samples(content: bytes) -> int:
    """Return the number of samples in the frames of an MP3 file (ISO 11172-3, section 2.4.1)."""
    samples = i = 0
    while found := MP3_FRAME.search(content, i):
        head = found[0]
        version, kbps, rate, padding = head[1] >> 3 & 3, (head[2] >> 4) - 1, head[2] >> 2 & 3, head[2] >> 1 & 1
        length, rates = (1152, MP3_KBPS_1) if version == 3 else (576, MP3_KBPS)
        hertz = (44100, 48000, 32000)[rate] >> {3: 0, 2: 1, 0: 2}[version]
        i = found.start() + length * 125 * rates[kbps] // hertz + padding
        if i >= len(content) or MP3_FRAME.match(content, i):  # not in a tag
            samples += length
    return samples


def name_of(place: AudioFile) -> str:
    """Return the name of a file for error messages."""
    return str(place) if isinstance(place, (str, Path)) else "the audio"


def failure_of(error: RuntimeError) -> str:
    """Return libsndfile's reason, with a hint if the file is not audio."""
    reason = str(getattr(error, "error_string", error)).rstrip(".").removeprefix("Error : ")
    if reason == "System error":  # libsndfile does not pass on the system's message
        return "the system refused it, for example because the disk is full"
    if "lost sync" in reason or "fseek" in reason:
        return f"it is truncated or damaged ({reason})"
    hint = " (wav, flac, ogg, mp3 and others are audio; a mel in an npy file is not)" if "recogni" in reason else ""
    return reason + hint


def ogg_fault(file: BinaryIO) -> str | None:
    """Return what is wrong with an Ogg file, a chain of streams or a cut page, or None; this moves its position."""
    data_seen, end = False, file.seek(0)
    while (head := file.read(OGG_HEAD))[:4] == OGG_MAGIC and len(head) == OGG_HEAD:
        first = bool(head[5] & FIRST_PAGE)
        if first and data_seen:
            return "a chain of several Ogg streams; split it into one file each"
        data_seen = data_seen or not first
        end = file.seek(sum(file.read(head[26])), 1)
    return "truncated: its last page of Ogg is not complete" if head[:4] == OGG_MAGIC or end > file.seek(0, 2) else None
