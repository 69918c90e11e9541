"""One recording and the audio of all candidates, as data URIs for a page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soundfile
from matplotlib.image import imsave
from numpy.typing import NDArray

from training.evaluate.metric import Audio
from training.evaluate.spectrogram import RANGE_DB, decibels

__all__ = ["Clip", "Utterance", "difference_picture", "flac_uri", "spectrogram_picture"]

DIFFERENCE_DB = 30.0
"""difference in dB, up or down, that has the strongest colour"""
_LEVELS = 49  # of colour, odd so that no difference is white; more are not told apart
_FLOOR_BELOW_TOP_DB = 80.0


@dataclass(frozen=True)
class Clip:
    """Audio x (T,) of one candidate, at the sample rate of the utterance."""

    candidate: str
    x: Audio


@dataclass(frozen=True)
class Utterance:
    """One recording and what each candidate made of its mel.

    Attributes:
        voice: whose it is.
        path: the recording's, in the manifest.
        sample_rate: of all clips, in Hz.
        reference: the recording.
        clips: of the other candidates.
    """

    voice: str
    path: str
    sample_rate: int
    reference: Clip
    clips: Sequence[Clip]

    @property
    def seconds(self) -> float:
        """The duration of the recording."""
        return len(self.reference.x) / self.sample_rate


def flac_uri(x: Audio, sample_rate: int) -> str:
    """Return audio x (T,), full scale 1, as a data URI of 16-bit FLAC without any tags."""
    file = io.BytesIO()
    soundfile.write(file, np.clip(x, -1.0, 1.0), sample_rate, format="FLAC", subtype="PCM_16")
    return _uri("audio/flac", file.getvalue())


def spectrogram_picture(x: Audio, reference: Audio) -> str:
    """Return the spectrogram of x (T,) as a data URI of a PNG, on the scale of the reference's, low tones below."""
    picture, top = _halved(decibels(x)), _top(reference)
    return _png(np.clip((picture - top) / RANGE_DB + 1.0, 0.0, 1.0), "magma")


def difference_picture(x: Audio, reference: Audio) -> str:
    """Return the spectrogram of x (T,) minus that of the reference (T,) as a data URI of a PNG.

    Red is louder than the recording, blue is softer, white the same. Differences between what is 80 dB below the
    loudest of the recording are none.

    Raises:
        ValueError: the lengths differ.
    """
    if len(x) != len(reference):
        raise ValueError(f"a difference needs as many samples as the recording has, {len(reference)}, not {len(x)}")
    floor = _top(reference) - _FLOOR_BELOW_TOP_DB
    picture, original = (_halved(np.maximum(decibels(signal), floor)) for signal in (x, reference))
    return _png(np.clip((picture - original) / (2.0 * DIFFERENCE_DB) + 0.5, 0.0, 1.0), "seismic")


def _top(reference: Audio) -> float:
    return float(np.percentile(decibels(reference), 99.8))  # the very loudest bins would leave the rest dark


def _halved(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return means over pairs of bins without the highest one; the picture is half as large and looks the same."""
    even = picture[: len(picture) // 2 * 2]
    return np.asarray(even.reshape(-1, 2, even.shape[1]).mean(axis=1), dtype=np.float32)


def _png(shares: NDArray[np.float32], colours: str) -> str:
    file = io.BytesIO()
    steps = np.round(shares * (_LEVELS - 1)) / (_LEVELS - 1)
    imsave(file, steps, cmap=colours, vmin=0.0, vmax=1.0, origin="lower", format="png")
    return _uri("image/png", file.getvalue())


def _uri(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"
