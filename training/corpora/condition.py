"""Prepare one recording for training: decode, check, resample and level it, or refuse it with a reason."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from vocoder.audio.file import AUDIO_SUFFIXES, AudioError, read_audio
from vocoder.audio.resampling import resample
from vocoder.config import ConfigError

_FULL_SCALE = 0.999
_PEAK_LIMIT = 0.99
_RAW_FORMATS = {".g722": "g722", ".gsm": "gsm"}


class UnusableError(ValueError):
    """A recording must be skipped; `reason` is a word or two that summaries count by."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class DecodeError(UnusableError):
    """A file is not audio that can be decoded."""


@dataclass(frozen=True)
class PrepareConfig:
    """How recordings are checked and changed.

    Raises:
        ConfigError: a value is out of range.
    """

    sample_rate: int = 22050
    """Sample rate of the prepared audio in Hz."""
    rms: float | None = 0.06
    """Root mean square of every utterance after scaling; less if its peak would exceed 0.99. None keeps their own
    levels, as needed for recordings that come with mels."""
    min_seconds: float = 0.3
    """Shorter recordings are skipped."""
    silence_rms: float = 1e-3
    """Recordings with a lower root mean square are skipped as silent."""
    clipped_share: float = 1e-3
    """Recordings with more than this share of samples at full scale are skipped as clipped."""

    def __post_init__(self) -> None:
        if not 4000 <= self.sample_rate <= 192000:
            raise ConfigError(f"sample_rate must be from 4000 to 192000 Hz, not {self.sample_rate}")
        if self.rms is not None and not 0 < self.rms <= 0.5:
            raise ConfigError(f"rms must be above 0 and at most 0.5, not {self.rms}")
        if self.min_seconds <= 0:
            raise ConfigError(f"min_seconds must be positive, not {self.min_seconds}")
        if not 0 <= self.silence_rms < 1 or not 0 <= self.clipped_share <= 1:
            raise ConfigError("silence_rms and clipped_share must lie between 0 and 1")


def condition(x: np.ndarray, sample_rate: int, config: PrepareConfig) -> np.ndarray:
    """Check, resample and scale one recording x (T,), float32 in [-1, 1].

    Returns:
        (T * config.sample_rate / sample_rate,) float32 with the wanted root mean square and no sample beyond 0.99, or
        at its own level.

    Raises:
        UnusableError: the recording is too short, silent or clipped, or its sample rate cannot be converted.
    """
    seconds = len(x) / sample_rate
    if seconds < config.min_seconds:
        raise UnusableError("too short", f"{seconds:.2f} s, {config.min_seconds} s are required")
    level = _rms(x)
    if level == 0 or level < config.silence_rms:
        raise UnusableError("silent", f"root mean square {level:.1e}, {config.silence_rms:.1e} is required")
    share = float(np.mean(np.abs(x) >= _FULL_SCALE))
    if share > config.clipped_share:
        raise UnusableError("clipped", f"{share:.2%} of samples at full scale, {config.clipped_share:.2%} allowed")
    try:
        x = resample(x, sample_rate, config.sample_rate)
    except ValueError as error:
        raise UnusableError("odd sample rate", str(error)) from error
    if config.rms is None:
        return np.clip(x, -1.0, 1.0)  # resampling can overshoot
    return (x * min(config.rms / _rms(x), _PEAK_LIMIT / float(np.abs(x).max()))).astype(np.float32)


def _rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))


def decode(path: Path) -> tuple[np.ndarray, int]:
    """Decode a file to (x, sample_rate); x is (T,) float32 in [-1, 1], the mean of its channels.

    Raises:
        DecodeError: the file cannot be decoded.
    """
    try:
        return read_audio(path) if path.suffix.lower() in AUDIO_SUFFIXES else _with_av(path)
    except (AudioError, av.FFmpegError, OSError, StopIteration, ValueError) as error:
        raise DecodeError("unreadable", str(error) if path.name in str(error) else f"{path}: {error}") from error


def _with_av(path: Path) -> tuple[np.ndarray, int]:
    with av.open(str(path), format=_RAW_FORMATS.get(path.suffix.lower())) as container:
        if not container.streams.audio:
            raise AudioError(f"{path} has no audio stream")
        sample_rate = container.streams.audio[0].rate
        resampler = av.AudioResampler(format="fltp", rate=sample_rate)
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
    if not frames:
        raise AudioError(f"{path} holds no sample")
    x = np.concatenate([frame.to_ndarray().mean(axis=0) for frame in frames])
    return x.astype(np.float32), int(sample_rate)
