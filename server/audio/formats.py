"""Audio formats: their table, content negotiation, encoding of whole waveforms, and loudness.

To add a format, add a row to `FORMATS`. One that libsndfile cannot write also needs a branch in `Format.encode`, and in
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
from vocoder.audio.writing import AUDIO_FORMATS, AudioFormat, Origin, count_clipped, nearest_rate, quantise, write_audio
from vocoder.npy import npy_bytes

Waveform = NDArray[np.float32]

BLOCK_SECONDS = 0.4  # the shortest audio with a loudness
LOUDNESS_HEADROOM = 0.25  # scale of audio during measurement, because torchaudio's filters clip at full scale
SAMPLE_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 96000)
"""Output rates besides the model's own. Every pair has a large common divisor, so the filter banks stay small."""
RAW_16, RAW_FLOAT = AudioFormat("RAW", "PCM_16", bits=16), AudioFormat("RAW", "FLOAT")
NPY = AudioFormat("NPY", "FLOAT")  # the only encoding that libsndfile cannot write


@dataclass(frozen=True)
class Encoded:
    """A waveform as bytes, its number of samples, and how many of them were clipped."""

    body: bytes
    clipped: int
    samples: int


@dataclass(frozen=True)
class Format:
    """An output format. Integer and lossy formats clip samples outside [-1, 1]; float formats keep them.

    Attributes:
        name: the value of `format=`.
        media_types: values of Accept; the first one is the Content-Type when `format=` is given.
        encoding: container and sample type: `AUDIO_FORMATS[name]`, unless it is raw or npy.
        codecs: parameter of the first media type if the type alone does not name the encoding (RFC 6381).
        streams: whether the format can be sent before its length is known. An npy file begins with its shape; an MP3
            file without its length in the first frame plays with silence before and behind.
    """

    name: str
    media_types: tuple[str, ...]
    encoding: AudioFormat
    codecs: str | None = None
    streams: bool = True

    def content_type(self, media_type: str) -> str:
        """Return the Content-Type header for a negotiated media type."""
        named = self.codecs and media_type == self.media_types[0]
        return f"{media_type}; codecs={self.codecs}" if named else media_type

    def rate(self, model_rate: int, requested: int | None) -> int:
        """Return the answer's sample rate: the requested one, or the format's nearest to the model's own.

        Raises a Problem if the requested rate is not supported.
        """
        known = self.encoding.sample_rates
        if requested is None:
            return nearest_rate(model_rate, known)
        offered = known or tuple(sorted({*SAMPLE_RATES, model_rate}))
        if requested not in offered:
            detail = f"With format={self.name}, sample_rate must be one of {', '.join(map(str, offered))}."
            raise Problem("unsupported-sample-rate", detail, sample_rates=list(offered))
        return requested

    def encode(self, x: Waveform, rate: int, sample_rate: int | None = None, origin: Origin | None = None) -> Encoded:
        """Encode a waveform (T,) at `rate` Hz, resampled to sample_rate, with its origin if the format can store it."""
        sample_rate = sample_rate or rate
        x = resample(x, rate, sample_rate)
        if self.encoding == NPY:
            return Encoded(npy_bytes(x), 0, len(x))
        if self.encoding == RAW_FLOAT:
            return Encoded(np.ascontiguousarray(x, "<f4").tobytes(), 0, len(x))
        if self.encoding == RAW_16:
            return Encoded(quantise(x, 16).astype("<i2").tobytes(), count_clipped(x), len(x))
        stream = io.BytesIO()
        report = write_audio(stream, x, sample_rate, format=self.name, origin=origin)
        return Encoded(stream.getvalue(), report.clipped, len(x))


# In order of preference, for clients that accept several.
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
WEIGHT = re.compile(r";\s*[qQ]=([01](?:\.\d{0,3})?)\s*(?:;|$)")  # RFC 9110, section 12.4.2; 0 refuses
STREAM_FORMATS = tuple(offer for offer in FORMATS if offer.streams)


def negotiate(name: str | None, accept: str | None, offers: Sequence[Format] = FORMATS) -> tuple[Format, str]:
    """Return the answer's format and media type: from `format=`, otherwise the supported one that Accept prefers.

    Raises a Problem if no format matches.
    """
    if name is not None:
        found = [(offer, offer.media_types[0]) for offer in offers if offer.name == name]
    else:
        found = _accepted((accept or "").strip(" ,") or "*/*", offers)
    if not found:
        names = [offer.name for offer in offers]
        media_types = list(dict.fromkeys(offer.media_types[0] for offer in offers))
        subject = "This server answers with" if offers is FORMATS else "This server streams"
        detail = f"{subject} format={'|'.join(names)}, or Accept: {', '.join(media_types)}."
        raise Problem("not-acceptable", detail, formats=names, media_types=media_types)
    return found[0]


def _accepted(accept: str, offers: Sequence[Format]) -> list[tuple[Format, str]]:
    """Return the formats and media types that Accept allows, its favourite first.

    The most specific range that matches a media type gives its weight (RFC 9110, section 12.5.1).
    """
    weights: dict[str, float] = {}
    for part in filter(str.strip, accept.split(",")):
        asked, found = part.partition(";")[0].strip().lower(), WEIGHT.search(part)
        weights[asked] = max(weights.get(asked, 0.0), float(found[1]) if found else 1.0)
    order = sorted(filter(weights.__getitem__, weights), key=lambda asked: -weights[asked])  # stable
    ranked = []
    for offer in offers:
        for media_type in offer.media_types:
            ranges = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
            closest = next((each for each in ranges if each in weights), None)
            if closest in order:
                ranked.append((order.index(closest), offer, media_type))
    return [(offer, media_type) for _, offer, media_type in sorted(ranked, key=lambda one: one[0])]


@dataclass(frozen=True)
class Level:
    """The requested level: a gain in dB, or an integrated loudness in LUFS (ITU-R BS.1770-4)."""

    gain: float = 0.0
    loudness: float | None = None

    @property
    def factor(self) -> float:
        """The gain as a factor for samples."""
        return float(10.0 ** (self.gain / 20.0))

    def of(self, x: Waveform, sample_rate: int) -> "Level":
        """Return the gain that brings x (T,) to this level; raises a Problem if its loudness cannot be measured."""
        if self.loudness is None:
            return self
        import torchaudio  # slow to import

        if len(x) < BLOCK_SECONDS * sample_rate:
            raise invalid_parameter("loudness", f"undefined for audio shorter than {BLOCK_SECONDS} s; use gain instead")
        with torch.inference_mode():
            lowered = torchaudio.functional.loudness(LOUDNESS_HEADROOM * torch.from_numpy(x)[None], sample_rate)
        measured = lowered.item() - 20.0 * math.log10(LOUDNESS_HEADROOM)
        if not math.isfinite(measured):
            raise invalid_parameter("loudness", "this audio is too quiet to be measured; use gain instead")
        return Level(self.loudness - measured)


@dataclass(frozen=True)
class OutputSpec:
    """How the audio of a response is written: format, sample rate in Hz, level, and the origin to store in it."""

    format: Format
    rate: int
    level: Level
    origin: Origin | None
