"""Waveforms to response bodies: the formats, which of them a client takes, and at which sample rate."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from server.errors import RequestError
from vocoder.audio.file import AUDIO_FORMATS, quantise, write_audio
from vocoder.audio.origin import Origin
from vocoder.audio.resampling import resample

__all__ = [
    "FORMATS",
    "SAMPLE_RATES",
    "Encoded",
    "Format",
    "negotiate",
    "npy_bytes",
    "output_rate",
    "pcm_bytes",
    "resample_encode",
]

Waveform = NDArray[np.float32]

# What `sample_rate` may ask for beside the model's own: every pair of these shares a large divisor, so that resampling
# is cheap, and no client can ask for filter banks of millions of values.
SAMPLE_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 96000)


@dataclass(frozen=True)
class Encoded:
    """A waveform as bytes, its rate and length, and how many of its samples were cut at full scale on the way."""

    body: bytes
    clipped: int
    sample_rate: int
    samples: int


class Encode(Protocol):
    """From samples (T,) and sample_rate to bytes, which say where the audio comes from as far as the format can."""

    def __call__(self, x: Waveform, sample_rate: int, origin: Origin | None = None) -> Encoded:
        """Return the bytes."""


@dataclass(frozen=True)
class Format:
    """One way to write a waveform.

    Attributes:
        name: what `format=` calls it.
        media_types: what Accept may call it; the first is the one answered with `format=`.
        encode: integer and lossy formats cut samples outside [-1, 1] and count them, float formats keep them.
        sample_rates: Hz, the only ones that the format knows; empty means any.
        codecs: the parameter of its first media type, where that alone does not tell the encoding (RFC 6381).
    """

    name: str
    media_types: tuple[str, ...]
    encode: Encode
    sample_rates: tuple[int, ...] = ()
    codecs: str | None = None

    def content_type(self, media_type: str) -> str:
        """Return the Content-Type to answer with, where `media_type` was agreed upon."""
        return (
            f"{media_type}; codecs={self.codecs}" if self.codecs and media_type == self.media_types[0] else media_type
        )


def npy_bytes(array: NDArray[np.float32]) -> bytes:
    """Return an array as an npy file of little-endian 32-bit floats."""
    stream = io.BytesIO()
    np.save(stream, np.ascontiguousarray(array, "<f4"), allow_pickle=False)
    return stream.getvalue()


def pcm_bytes(x: Waveform, kind: str) -> tuple[bytes, int]:
    """Return samples as raw little-endian values, "s16" or "f32", and how many of them were cut at full scale."""
    if kind == "f32":
        return np.ascontiguousarray(x, "<f4").tobytes(), 0
    return quantise(x, 16).astype("<i2").tobytes(), int(np.count_nonzero(np.abs(x) > 1.0))


def output_rate(target: Format, model_rate: int, asked: int | None) -> int:
    """Return the sample rate to answer in: the one asked for, or the model's own or the next that the format knows.

    Raises:
        RequestError: a rate that is not on offer.
    """
    known = target.sample_rates
    if asked is None:
        return model_rate if not known or model_rate in known else min(rate for rate in known if rate > model_rate)
    offered = known or tuple(sorted({*SAMPLE_RATES, model_rate}))
    if asked not in offered:
        detail = f"In format={target.name} the sample_rate may be {', '.join(map(str, offered))}."
        raise RequestError("unsupported-sample-rate", detail, sample_rates=list(offered))
    return asked


def resample_encode(
    target: Format, x: Waveform, model_rate: int, sample_rate: int, origin: Origin | None = None
) -> Encoded:
    """Encode a waveform (T,) of model_rate at sample_rate."""
    return target.encode(resample(x, model_rate, sample_rate), sample_rate, origin)


def _audio_file(kind: str, x: Waveform, sample_rate: int, origin: Origin | None = None) -> Encoded:
    stream = io.BytesIO()
    report = write_audio(stream, x, sample_rate, format=kind, origin=origin)
    return Encoded(stream.getvalue(), report.clipped, sample_rate, len(x))


def _pcm(kind: str, x: Waveform, sample_rate: int, origin: Origin | None = None) -> Encoded:
    body, clipped = pcm_bytes(x, kind)
    return Encoded(body, clipped, sample_rate, len(x))


def _npy(x: Waveform, sample_rate: int, origin: Origin | None = None) -> Encoded:
    return Encoded(npy_bytes(x), 0, sample_rate, len(x))


# In order of preference where a client takes several.
FORMATS = (
    Format("wav", ("audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"), partial(_audio_file, "wav")),
    Format("flac", ("audio/flac", "audio/x-flac"), partial(_audio_file, "flac")),
    Format("opus", ("audio/ogg",), partial(_audio_file, "opus"), AUDIO_FORMATS["opus"].sample_rates, "opus"),
    Format("npy", ("application/x-npy",), _npy),
    Format("pcm", ("application/octet-stream", "audio/pcm"), partial(_pcm, "s16")),
    Format("pcm_f32", ("application/octet-stream",), partial(_pcm, "f32")),
    Format("wav_f32", ("audio/wav",), partial(_audio_file, "wav_f32")),
)


def negotiate(name: str | None, accept: str | None, offers: Sequence[Format] = FORMATS) -> tuple[Format, str]:
    """Return the format to answer in, and its media type.

    Args:
        name: the value of `format=`, which goes before Accept.
        accept: the Accept header; None or empty takes anything.
        offers: the formats to choose from, in order of preference.

    Raises:
        RequestError: nothing on offer fits.
    """
    if name is not None:
        for offer in offers:
            if offer.name == name:
                return offer, offer.media_types[0]
        raise _not_acceptable(offers)
    ranges = _parse(accept or "*/*")
    best: tuple[float, Format, str] | None = None
    for offer in offers:
        for media_type in offer.media_types:
            quality = _quality(media_type, ranges)
            if quality > (best[0] if best else 0.0):
                best = (quality, offer, media_type)
    if best is None:
        raise _not_acceptable(offers)
    return best[1], best[2]


def _parse(accept: str) -> dict[str, float]:
    """Return the quality of each media range; a range that cannot be read is left out."""
    ranges: dict[str, float] = {}
    for part in accept.split(","):
        media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weights = [parameter[2:] for parameter in parameters if parameter.startswith("q=")]
        try:
            quality = float(weights[0]) if weights else 1.0
        except ValueError:
            continue
        if media_range.count("/") == 1 and 0.0 <= quality <= 1.0:
            ranges[media_range] = quality
    return ranges


def _quality(media_type: str, ranges: dict[str, float]) -> float:
    """Return the quality of the most specific range that covers a media type; 0 where none does."""
    for media_range in (media_type, f"{media_type.partition('/')[0]}/*", "*/*"):
        if media_range in ranges:
            return ranges[media_range]
    return 0.0


def _not_acceptable(offers: Sequence[Format]) -> RequestError:
    names = [offer.name for offer in offers]
    media_types = list(dict.fromkeys(offer.media_types[0] for offer in offers))
    subject = "This server answers" if offers is FORMATS else "A stream comes"
    detail = f"{subject} in format={'|'.join(names)}, or Accept: {', '.join(media_types)}."
    return RequestError("not-acceptable", detail, formats=names, media_types=media_types)
