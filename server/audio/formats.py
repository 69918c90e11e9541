"""The audio formats, the choice among them, whole waveforms to bytes, and how loud they are.

A new format is a row of `FORMATS`. One that libsndfile cannot write needs a branch in `Format.encode`, and in
`pieces.PieceEncoder` if it streams.
"""

import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from server.problems import Problem, invalid_parameter
from vocoder.audio.resampling import resample
from vocoder.audio.writing import AUDIO_FORMATS, AudioFormat, Origin, nearest_rate, quantise, write_audio
from vocoder.npy import npy_bytes

Waveform = NDArray[np.float32]

BLOCK_SECONDS = 0.4  # the shortest audio with a loudness
LOUDNESS_HEADROOM = 0.25  # scales audio that is measured: torchaudio's filters clip at full scale
SAMPLE_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 96000)
"""Rates on offer beside the model's own. Every pair shares a large divisor, so the filter banks stay small."""
RAW_16, RAW_FLOAT = AudioFormat("RAW", "PCM_16", bits=16), AudioFormat("RAW", "FLOAT")
NPY = AudioFormat("NPY", "FLOAT")
"""the one encoding that libsndfile does not know"""


@dataclass(frozen=True)
class Encoded:
    """A waveform as bytes, its number of samples, and how many of them were clipped."""

    body: bytes
    clipped: int
    samples: int


@dataclass(frozen=True)
class Format:
    """One way to write a waveform. Integer and lossy formats clip samples outside [-1, 1]; float formats keep them.

    Attributes:
        name: the value of `format=`.
        media_types: values of Accept; the first one is the answer's where `format=` is given.
        encoding: container and type of the samples. Unless it is raw or npy, it is that of `name` in `AUDIO_FORMATS`.
        codecs: parameter of the first media type, where the type alone does not name the encoding (RFC 6381).
        streams: whether the format can be sent before its length is known. An npy file begins with its shape; an MP3
            file without its length in the first frame plays with silence before and behind.
    """

    name: str
    media_types: tuple[str, ...]
    encoding: AudioFormat
    codecs: str | None = None
    streams: bool = True

    def content_type(self, media_type: str) -> str:
        """Return the Content-Type for a negotiated media type."""
        named = self.codecs and media_type == self.media_types[0]
        return f"{media_type}; codecs={self.codecs}" if named else media_type

    def rate(self, model_rate: int, asked: int | None) -> int:
        """Return the sample rate of the answer: the rate asked for, or the model's own, or the next one of the format.

        Raises a Problem if the rate asked for is not on offer.
        """
        known = self.encoding.sample_rates
        if asked is None:
            return nearest_rate(model_rate, known)
        offered = known or tuple(sorted({*SAMPLE_RATES, model_rate}))
        if asked not in offered:
            detail = f"With format={self.name}, sample_rate must be one of {', '.join(map(str, offered))}."
            raise Problem("unsupported-sample-rate", detail, sample_rates=list(offered))
        return asked

    def encode(self, x: Waveform, rate: int, sample_rate: int | None = None, origin: Origin | None = None) -> Encoded:
        """Encode a whole waveform (T,) of `rate` Hz, resampled to sample_rate, with its origin if there is room."""
        sample_rate = rate if sample_rate is None else sample_rate
        x = x if sample_rate == rate else resample(x, rate, sample_rate)
        if self.encoding == NPY:
            return Encoded(npy_bytes(x), 0, len(x))
        if self.encoding == RAW_FLOAT:
            return Encoded(np.ascontiguousarray(x, "<f4").tobytes(), 0, len(x))
        if self.encoding == RAW_16:
            return Encoded(quantise(x, 16).astype("<i2").tobytes(), count_clipped(x), len(x))
        stream = io.BytesIO()
        report = write_audio(stream, x, sample_rate, format=self.name, origin=origin)
        return Encoded(stream.getvalue(), report.clipped, len(x))


# In order of preference where a client takes several.
FORMATS = (
    Format("wav", ("audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"), AUDIO_FORMATS["wav"]),
    Format("flac", ("audio/flac", "audio/x-flac"), AUDIO_FORMATS["flac"]),
    Format("opus", ("audio/ogg",), AUDIO_FORMATS["opus"], codecs="opus"),
    Format("mp3", ("audio/mpeg",), AUDIO_FORMATS["mp3"], streams=False),
    Format("npy", ("application/x-npy",), NPY, streams=False),
    Format("pcm", ("application/octet-stream", "audio/pcm"), RAW_16),
    Format("pcm_f32", ("application/octet-stream",), RAW_FLOAT),
    Format("wav_f32", ("audio/wav",), AUDIO_FORMATS["wav_f32"]),
)
ANYTHING = ("*/*", "audio/*")
WEIGHT = re.compile(r";\s*[qQ]=([01](?:\.\d{0,3})?)\s*(?:;|$)")  # RFC 9110, section 12.4.2; 0 refuses
STREAM_FORMATS = tuple(offer for offer in FORMATS if offer.streams)


def count_clipped(x: Waveform) -> int:
    """Return how many samples of x (T,) a 16-bit or lossy encoding clips."""
    return int(np.count_nonzero(np.abs(x) > 1.0))


def negotiate(name: str | None, accept: str | None, offers: Sequence[Format] = FORMATS) -> tuple[Format, str]:
    """Return the format of the answer and its media type: that of `format=`, or the most wanted of Accept on offer.

    Raises a Problem if none fits.
    """
    if name is not None:
        found = [(offer, offer.media_types[0]) for offer in offers if offer.name == name]
    else:
        parts = [(part.partition(";")[0].strip().lower(), WEIGHT.search(part)) for part in (accept or "*/*").split(",")]
        weights = [(asked, float(found[1]) if found else 1.0) for asked, found in parts]
        refused = {asked for asked, weight in weights if not weight}
        found = [
            (offer, media_type)
            for asked, weight in sorted(weights, key=lambda one: -one[1])
            for offer in offers
            for media_type in offer.media_types
            if weight and media_type not in refused and asked in (media_type, *ANYTHING)
        ]
    if not found:
        names = [offer.name for offer in offers]
        media_types = list(dict.fromkeys(offer.media_types[0] for offer in offers))
        subject = "This server answers" if offers is FORMATS else "Streams are sent"
        detail = f"{subject} in format={'|'.join(names)}, or Accept: {', '.join(media_types)}."
        raise Problem("not-acceptable", detail, formats=names, media_types=media_types)
    return found[0]


@dataclass(frozen=True)
class Level:
    """A gain in dB, or the integrated loudness in LUFS (ITU-R BS.1770-4) that audio shall have."""

    gain: float = 0.0
    loudness: float | None = None

    @property
    def factor(self) -> float:
        """By which the gain multiplies samples."""
        return float(10.0 ** (self.gain / 20.0))

    def of(self, x: Waveform, sample_rate: int) -> "Level":
        """Return the gain that gives x (T,) this level; raises a Problem if the loudness of x cannot be measured."""
        import torchaudio  # takes a while

        if self.loudness is None:
            return self
        if len(x) < BLOCK_SECONDS * sample_rate:
            raise invalid_parameter("loudness", f"audio of less than {BLOCK_SECONDS} s has none; give gain")
        with torch.inference_mode():
            lowered = torchaudio.functional.loudness(LOUDNESS_HEADROOM * torch.from_numpy(x)[None], sample_rate)
        measured = lowered.item() - 20.0 * math.log10(LOUDNESS_HEADROOM)
        if not math.isfinite(measured):
            raise invalid_parameter("loudness", "this audio is too quiet to be measured; give gain")
        return Level(self.loudness - measured)


@dataclass(frozen=True)
class OutputSpec:
    """How the audio of a response is written: format, sample rate in Hz, level, and the origin to store in it."""

    format: Format
    rate: int
    level: Level
    origin: Origin | None
