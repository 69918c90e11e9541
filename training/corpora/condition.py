"""Conditions one recording for training: decodes, checks, resamples and levels it, and measures its bandwidth."""

import math
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

from training.corpora.corpus import PrepareConfig
from training.corpora.manifest import ManifestError
from vocoder.audio.reading import AUDIO_SUFFIXES, AudioError, ChannelsCancelError, read_audio
from vocoder.audio.resampling import resample
from vocoder.files import complete

_SILENCE_RMS = 1e-3  # recordings with a lower root mean square are skipped
_FULL_SCALE, _CLIPPED_SHARE = 0.999, 1e-3  # as are those with a larger share of samples at full scale
_BAND_HERTZ, _LEAST_HERTZ = 125.0, 4000  # a lower sample rate is a broken header, of what would be days of sound
_RAW_FORMATS = {".g722": "g722", ".gsm": "gsm"}


class UnusableError(ValueError):
    """A recording must be skipped; `reason` is a short phrase by which summaries count."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


def condition(x: np.ndarray, sample_rate: int, config: PrepareConfig) -> np.ndarray:
    """Check, resample and scale one recording x (T,), float32 in [-1, 1].

    Returns float32 with the configured root mean square and no sample beyond 0.99, or at its own level. Raises
    UnusableError if the recording is too short, silent or clipped, or its sample rate cannot be converted.
    """
    seconds = len(x) / sample_rate
    if seconds < config.min_seconds:
        raise UnusableError("too short", f"{seconds:.2f} s; at least {config.min_seconds} s are required")
    if (level := rms(x)) < _SILENCE_RMS:
        raise UnusableError("silent", f"root mean square {level:.1e}; at least {_SILENCE_RMS:.1e} is required")
    share = float(np.mean(np.abs(x) >= _FULL_SCALE))
    if share > _CLIPPED_SHARE:
        raise UnusableError("clipped", f"{share:.2%} of samples at full scale; at most {_CLIPPED_SHARE:.2%} allowed")
    try:
        x = resample(x, sample_rate, config.sample_rate)
    except ValueError as error:
        raise UnusableError("odd sample rate", str(error)) from error
    if config.rms is None:
        return np.clip(x, -1.0, 1.0)  # resampling can overshoot
    return (x * min(config.rms / rms(x), 0.99 / float(np.abs(x).max()))).astype(np.float32)


def rms(x: np.ndarray) -> float:
    """Return the root mean square of x."""
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))


def decode(path: Path) -> tuple[np.ndarray, int]:
    """Decode a file to (x, sample_rate): x (T,) float32 in [-1, 1], the mean of channels. Raises UnusableError."""
    try:
        suffix = path.suffix.lower()
        x, rate = read_audio(path) if suffix in AUDIO_SUFFIXES else decode_with_av(path, _RAW_FORMATS.get(suffix))
        if rate < _LEAST_HERTZ:
            raise AudioError(f"{path} is at {rate} Hz; a sample rate of at least {_LEAST_HERTZ} Hz is required")
        return x, rate
    except ChannelsCancelError as error:
        raise UnusableError("its channels cancel", str(error)) from error
    except (AudioError, av.FFmpegError, OSError, StopIteration, ValueError) as error:
        raise UnusableError("unreadable", str(error) if path.name in str(error) else f"{path}: {error}") from error


def decode_with_av(file: Path | BinaryIO, container_format: str | None) -> tuple[np.ndarray, int]:
    """Decode a file with av to (x, sample_rate), as in `decode`; a raw stream needs its format's name."""
    with av.open(file, format=container_format) as container:
        if not container.streams.audio:
            raise AudioError(f"{file} has no audio stream")
        sample_rate = container.streams.audio[0].rate
        resampler = av.AudioResampler(format="fltp", rate=sample_rate)
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
    if not frames:
        raise AudioError(f"{file} has no samples")
    return np.concatenate([frame.to_ndarray().mean(axis=0) for frame in frames]).astype(np.float32), int(sample_rate)


def write_flac(path: Path, x: np.ndarray, sample_rate: int, subtype: str = "PCM_16", comment: str = "") -> None:
    """Write audio x (T,), clipped to full scale, atomically; raises AudioError if the system refuses it."""
    encoded = BytesIO()  # in memory, as in `write_audio`
    with soundfile.SoundFile(encoded, "w", sample_rate, channels=1, format="FLAC", subtype=subtype) as file:
        if comment:
            file.comment = comment
        file.write(np.clip(x, -1, 1))
    try:
        with complete(path) as part:
            part.write_bytes(encoded.getbuffer())
    except OSError as error:
        raise AudioError(f"cannot write {path}: the system refused it ({error.strerror})") from error


def read_prepared(path: Path, sample_rate: int) -> NDArray[np.int16]:
    """Return a prepared file's audio (T,) as 16-bit integers; raises ManifestError unless it is mono at sample_rate."""
    try:
        x, rate = soundfile.read(path, dtype="int16", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise ManifestError(f"cannot read {path}: {error}") from error
    if rate != sample_rate or x.shape[1] != 1 or len(x) == 0:
        found = f"{len(x)} samples, {x.shape[1]} channels, {rate} Hz"
        raise ManifestError(f"{path} must be mono at {sample_rate} Hz, found {found}")
    mono: NDArray[np.int16] = x[:, 0]
    return mono


def measure_bandwidth(x: np.ndarray, sample_rate: int, prepared_rate: int | None = None) -> float:
    """Return the frequency in Hz above which a recording x (T,) is practically empty, at most half the sample rate.

    x must not have been resampled. Above that frequency, every band of 125 Hz is 55 dB below the loudest band, where
    low-passed recordings may have a trace, or about as loud between sounds as during them. With `prepared_rate`, the
    result is that of x after resampling to it. When upsampling, the filter ends the band 5 % below half of sample_rate.
    """
    window = hann(round(0.04 * sample_rate), sym=False)
    transform = ShortTimeFFT(window, len(window) // 2, sample_rate)
    power = transform.spectrogram(np.pad(x, (0, max(0, len(window) - len(x)))).astype(np.float64))
    band = (transform.f // _BAND_HERTZ).astype(int)
    starts = np.searchsorted(band, np.arange(band[-1] + 1))
    powers = np.add.reduceat(power, starts, axis=0) / np.diff([*starts, len(band)])[:, None]  # (bands, frames)
    loud, quiet = np.percentile(10 * np.log10(powers + 1e-12), (95, 10), axis=1)
    # Steady noise above a narrow channel has loud frames that are less than 15 dB above its quiet ones.
    heard = np.flatnonzero((loud > loud.max() - 55.0) & (loud > quiet + 15.0))
    edge = float((heard[-1] + 1) * _BAND_HERTZ) if len(heard) else math.inf
    rate = sample_rate if prepared_rate is None else prepared_rate
    return min(edge, (0.95 * sample_rate if rate > sample_rate else sample_rate) / 2, rate / 2)
