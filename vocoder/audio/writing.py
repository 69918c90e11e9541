"""Write audio files in various formats, marked with the origin of the audio."""

import json
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, fields
from io import BytesIO
from operator import index
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import ArrayLike, NDArray

from vocoder.audio.reading import AudioError, AudioFile, failure_of, name_of, reading
from vocoder.audio.resampling import resample
from vocoder.config import from_dict
from vocoder.version import __version__

_BLOCK = 1 << 15  # libsndfile's Vorbis encoder keeps each block on the stack
PROGRAM = "flow-vocoder"  # prefix of the program field of audio files


@dataclass(frozen=True)
class AudioFormat:
    """A container and an encoding, by libsndfile's names.

    `bits` is the size of integer samples, None for floats and lossy encodings; `sample_rates` are the supported rates
    in Hz, empty if any rate is.
    """

    container: str
    subtype: str
    bits: int | None = None
    sample_rates: tuple[int, ...] = ()


AUDIO_FORMATS: Mapping[str, AudioFormat] = {
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


@dataclass(frozen=True)
class WriteReport:
    """A report on what was written.

    `sample_rate` is the file's rate in Hz, which may differ from the requested one; `peak` is the largest magnitude
    before clipping, and `clipped` the number of samples beyond full scale.
    """

    sample_rate: int
    peak: float
    clipped: int = 0

    def __str__(self) -> str:
        peak = f"peak {self.peak:.3f}"
        return f"clipped {self.clipped} samples to full scale ({peak})" if self.clipped else peak


@dataclass(frozen=True)
class Origin:
    """The origin of audio: the model's name, the version of this package, and whether the audio is synthetic.

    `seed` is the seed of the noise and `dtype` the precision of the model's products; None if unknown.
    """

    model: str
    version: str = __version__
    seed: int | None = None
    synthetic: bool = True
    dtype: str | None = None

    @property
    def program(self) -> str:
        """Name and version of the program that wrote the audio."""
        return f"{PROGRAM} {self.version}"

    def to_json(self) -> str:
        """Return a JSON object in ASCII, which fits any container and HTTP header."""
        return json.dumps({name: value for name, value in asdict(self).items() if value is not None})

    @classmethod
    def of_json(cls, text: str) -> "Origin | None":
        """Parse the output of `to_json`; None for any other text."""
        try:
            document = json.loads(text)
            return from_dict(cls, {field.name: document.get(field.name) for field in fields(cls)})
        except (ValueError, AttributeError, RecursionError):
            return None


def write_audio(
    target: AudioFile, x: ArrayLike, sample_rate: int, *, format: str | None = None, origin: Origin | None = None
) -> WriteReport:
    """Write audio x (T,) to a file, clip it to full scale and report the number of clipped samples.

    Args:
        target: a path, or a binary file, which needs `format`.
        x: audio (T,), an array or a tensor on the CPU.
        sample_rate: Hz. Opus and mp3 support only some rates; at others the audio is resampled to the next one.
        format: a key of `AUDIO_FORMATS`. Default: the path's suffix.
        origin: origin to store in the file, from `Synthesizer.origin` or from the client. Default: none.

    Raises an AudioError if the format is unknown, x is not (T,) of finite floats, sample_rate is not a positive whole
    number, or the system refuses the file.
    """
    encoding, x = AUDIO_FORMATS[_format_name(target, format)], np.asarray(x)
    if x.ndim != 1 or x.size == 0 or x.dtype.kind != "f":
        raise AudioError(f"audio to write must be (T,) of floats, not {x.dtype} of shape {x.shape}")
    with np.errstate(over="ignore"):  # values beyond float32 become infinite
        x = x.astype(np.float32, copy=False)
    if not np.isfinite(x).all():
        raise AudioError("audio to write must be finite, but some samples are NaN or infinite")
    if isinstance(target, (str, Path)) and not Path(target).parent.is_dir():
        raise AudioError(f"cannot write {target}: there is no directory {Path(target).parent}")
    with suppress(TypeError):
        sample_rate = index(sample_rate)  # NumPy's whole numbers too
    if not isinstance(sample_rate, int) or not 0 < sample_rate < 2**31:
        raise AudioError(f"sample_rate must be a positive whole number of Hz, such as 22050, not {sample_rate!r}")
    file_rate = nearest_rate(sample_rate, encoding.sample_rates)
    x = resample(x, sample_rate, file_rate)
    clips = encoding.subtype != "FLOAT"
    report = WriteReport(file_rate, float(np.abs(x).max()), count_clipped(x) if clips else 0)
    x = np.clip(x, -1.0, 1.0) if clips else x
    samples = x if encoding.bits is None else quantise(x, encoding.bits)
    encoded = BytesIO()  # not the target, since libsndfile ignores a disk that is full when it closes a file
    try:
        with soundfile.SoundFile(encoded, "w", file_rate, 1, encoding.subtype, format=encoding.container) as file:
            mark(file, origin)
            for start in range(0, len(samples), _BLOCK):
                file.write(samples[start : start + _BLOCK])
        with Path(target).open("wb") if isinstance(target, (str, Path)) else nullcontext(target) as written:
            written.write(encoded.getbuffer())
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise AudioError(f"cannot write {name_of(target)}: {failure_of(error)}") from None
    except OSError as error:
        raise AudioError(f"cannot write {name_of(target)}: {error.strerror or error}") from None
    return report


def nearest_rate(sample_rate: int, known: tuple[int, ...]) -> int:
    """Return sample_rate if it is `known` or any rate is, else the next higher known rate, or the highest."""
    if not known or sample_rate in known:
        return sample_rate
    return min((rate for rate in known if rate > sample_rate), default=max(known))


def count_clipped(x: NDArray[np.float32]) -> int:
    """Return how many samples of x (T,) are outside [-1, 1], where integer and lossy encodings clip."""
    return int(np.count_nonzero(np.abs(x) > 1.0))


def quantise(x: NDArray[np.float32], bits: int) -> NDArray[Any]:
    """Round audio to 16- or 24-bit integers, saturating.

    Full scale is 2 ** (bits - 1), as readers assume; the largest positive integer is one less. 24-bit samples are
    left-aligned in 32 bits, as libsndfile expects.
    """
    scale = 2.0 ** (bits - 1)
    integers = np.clip(np.rint(x.astype(np.float64) * scale), -scale, scale - 1.0)
    return integers.astype(np.int16) if bits == 16 else integers.astype(np.int32) << 8


def _format_name(target: AudioFile, format: str | None) -> str:
    if format is None and not isinstance(target, (str, Path)):
        raise AudioError(f"writing to a file object needs a format: {', '.join(AUDIO_FORMATS)}")
    suffix = Path(str(target)).suffix.removeprefix(".").lower()
    name = suffix if format is None else format
    if name not in AUDIO_FORMATS:
        fault = f"unknown format {name!r}" if name else "it has no suffix"
        raise AudioError(f"cannot write {name_of(target)}: {fault}; known: {', '.join(AUDIO_FORMATS)}")
    if suffix in AUDIO_FORMATS and AUDIO_FORMATS[suffix].container != AUDIO_FORMATS[name].container:
        raise AudioError(f"cannot write {name_of(target)} as {name}: its suffix means another format")
    return name


def mark(file: soundfile.SoundFile, origin: Origin | None) -> None:
    """Write an origin into the header of a file, before any samples: into LIST/INFO, comments, or ID3 of mp3."""
    if origin is not None:
        file.software, file.comment = origin.program, origin.to_json()


@dataclass(frozen=True)
class AudioInfo:
    """Format and origin of an audio file.

    `container` and `encoding` are libsndfile's names, `program` is the program that wrote the file, if it is named, and
    `origin` is set if this package wrote it.
    """

    container: str
    encoding: str
    sample_rate: int
    channels: int
    seconds: float
    program: str | None
    origin: Origin | None


def audio_info(source: AudioFile) -> AudioInfo:
    """Read an audio file's format and origin, without its samples; raises the errors of `read_audio`."""
    with reading(source) as file:
        shape = file.format, file.subtype, file.samplerate, file.channels, file.frames / file.samplerate
        return AudioInfo(*shape, file.software or None, Origin.of_json(file.comment or ""))
