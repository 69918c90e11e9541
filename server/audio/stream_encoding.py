"""Waveforms that arrive in pieces to bytes that leave in pieces, at another sample rate where that is asked for.

Put together, the bytes decode to what the whole waveform, encoded at once, decodes to.
"""

from __future__ import annotations

import io
import math
import struct
from typing import Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from server.audio.encoding import FORMATS, Format, pcm_bytes
from vocoder.audio.file import AUDIO_FORMATS, quantise
from vocoder.audio.origin import Origin, mark
from vocoder.audio.resampling import half_width, resample

__all__ = ["STREAM_FORMATS", "PieceEncoder", "PieceResampler", "open_encoder"]

Waveform = NDArray[np.float32]

OPEN_SIZE = 0xFFFFFFFF  # of a RIFF chunk whose end is not known when its head is written
WAVE_CODES = {"s16": (1, 16), "f32": (3, 32)}  # format tag and bits
WHOLE_HEAD = 26  # bytes of a FLAC file up to the end of its sample count
SAMPLE_COUNT = slice(18, 26)  # rate, channels, bits and in the last 36 bits the samples (RFC 9639, section 8.2)

STREAM_FORMATS = tuple(offer for offer in FORMATS if offer.name != "npy")
"""What can be sent before its length is known: an npy file begins with its shape."""


class PieceEncoder(Protocol):
    """Encodes one waveform piece by piece."""

    clipped: int
    """samples that were cut at full scale so far"""

    def encode(self, x: Waveform) -> bytes:
        """Return what can be sent once x (T,) has followed; maybe nothing yet."""

    def finish(self) -> bytes:
        """Return what remains to be sent."""


def open_encoder(
    target: Format, sample_rate: int, samples: int | None = None, origin: Origin | None = None
) -> PieceEncoder:
    """Begin a stream.

    Args:
        target: one of `STREAM_FORMATS`.
        sample_rate: Hz.
        samples: how many there will be, where that is known; for formats that can say it in their head.
        origin: what the head says of where the audio comes from, as far as the format can.
    """
    kind = "f32" if target.name.endswith("f32") else "s16"
    if target.name in ("wav", "wav_f32"):
        return _RawEncoder(kind, _wave_head(kind, sample_rate, origin))
    if target.name in ("pcm", "pcm_f32"):
        return _RawEncoder(kind, b"")
    return _FileEncoder(target.name, sample_rate, samples, origin)


class _RawEncoder:
    """Samples as they are, after a head."""

    def __init__(self, kind: str, head: bytes) -> None:
        self.clipped = 0
        self._kind = kind
        self._head = head

    def encode(self, x: Waveform) -> bytes:
        """Return the samples as bytes."""
        body, clipped = pcm_bytes(x, self._kind)
        self.clipped += clipped
        head, self._head = self._head, b""
        return head + body

    def finish(self) -> bytes:
        """Return the head, if nothing at all was encoded."""
        head, self._head = self._head, b""
        return head


class _FileEncoder:
    """What libsndfile writes, passed on as it grows."""

    def __init__(self, name: str, sample_rate: int, samples: int | None, origin: Origin | None) -> None:
        encoding = AUDIO_FORMATS[name]
        self.clipped = 0
        self._bits = encoding.bits
        self._samples = samples if encoding.container == "FLAC" else None
        self._sink = _Sink()
        self._file = soundfile.SoundFile(self._sink, "w", sample_rate, 1, encoding.subtype, format=encoding.container)
        mark(self._file, origin)

    def encode(self, x: Waveform) -> bytes:
        """Return the blocks that are complete."""
        self.clipped += int(np.count_nonzero(np.abs(x) > 1.0))
        self._file.write(np.clip(x, -1.0, 1.0) if self._bits is None else quantise(x, self._bits))
        return self._take()

    def finish(self) -> bytes:
        """Return the last blocks."""
        self._file.close()
        return self._take()

    def _take(self) -> bytes:
        body = self._sink.take()
        if self._samples is not None and len(body) >= WHOLE_HEAD:
            fields = int.from_bytes(body[SAMPLE_COUNT], "big") | self._samples
            body = body[: SAMPLE_COUNT.start] + fields.to_bytes(8, "big") + body[SAMPLE_COUNT.stop :]
            self._samples = None
        return body


class _Sink(io.RawIOBase):
    """A file of which nothing is kept: what is written at its end is taken away, what would change the past is lost.

    At its close libsndfile goes back to note sizes and a checksum in a FLAC file's head. They are optional there, and a
    head that was sent cannot be changed.
    """

    def __init__(self) -> None:
        super().__init__()
        self._position = 0
        self._end = 0
        self._fresh = bytearray()

    def take(self) -> bytes:
        """Return what was written since the last time."""
        fresh = bytes(self._fresh)
        self._fresh.clear()
        return fresh

    def seekable(self) -> bool:
        """Answer yes, since libsndfile insists."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go somewhere; only the end is worth writing at."""
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._end}[whence]
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def write(self, data: object) -> int:
        """Keep what follows the end until it is taken."""
        body = bytes(data)  # type: ignore[call-overload]
        if self._position == self._end:
            self._fresh += body
            self._end += len(body)
        self._position += len(body)
        return len(body)


def _wave_head(kind: str, sample_rate: int, origin: Origin | None) -> bytes:
    code, bits = WAVE_CODES[kind]
    size = bits // 8
    layout = struct.pack("<HHIIHH", code, 1, sample_rate, sample_rate * size, size, bits)
    head = b"WAVE" + _chunk(b"fmt ", layout) + _information(origin) + b"data" + struct.pack("<I", OPEN_SIZE)
    return b"RIFF" + struct.pack("<I", OPEN_SIZE) + head


def _information(origin: Origin | None) -> bytes:
    if origin is None:
        return b""
    texts = {b"ISFT": origin.program, b"ICMT": origin.to_json()}
    return _chunk(b"LIST", b"INFO" + b"".join(_chunk(name, text.encode() + b"\0") for name, text in texts.items()))


def _chunk(name: bytes, content: bytes) -> bytes:
    """Return a RIFF chunk: an even number of bytes after its size, which does not count the last if that is added."""
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


class PieceResampler:
    """Resamples pieces; put together they are what `resample` makes of the whole, without a seam.

    A sample of the output depends on so many samples of the input around it: what comes too early is kept until its
    surroundings are there.

    Args:
        source_rate: Hz.
        target_rate: Hz.

    Raises:
        ValueError: as in `resample`.
    """

    def __init__(self, source_rate: int, target_rate: int) -> None:
        divisor = math.gcd(source_rate, target_rate)
        self._rates = source_rate, target_rate
        # Only whole blocks are resampled: `down` samples of input, `up` of output.
        self._down, self._up = source_rate // divisor, target_rate // divisor
        self._context = math.ceil(half_width(source_rate, target_rate) / self._down) + 1
        self._before = 0  # blocks of context at the start of what is kept
        self._kept: Waveform = np.empty(0, np.float32)

    def push(self, x: Waveform, last: bool = False) -> Waveform:
        """Take the next samples (T,), and return those of the output that are certain by now.

        Args:
            x: may be empty.
            last: whether nothing will follow.
        """
        if self._down == self._up:
            return x
        self._kept = np.concatenate([self._kept, x])
        blocks = len(self._kept) // self._down - self._context
        if not last and blocks <= self._before:
            return np.empty(0, np.float32)
        y = resample(self._kept, *self._rates)
        start = self._before * self._up
        if last:
            self._kept = np.empty(0, np.float32)
            return y[start:]
        y = y[start : blocks * self._up]
        cut = max(0, blocks - self._context)
        self._before = blocks - cut
        self._kept = self._kept[cut * self._down :]
        return y
