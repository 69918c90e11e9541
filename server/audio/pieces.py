"""Encoding and resampling piece by piece. The pieces decode to the same samples as the waveform encoded whole."""

import io
import math
import struct

import numpy as np
import soundfile

from server.audio.formats import Format, Waveform
from vocoder.audio.resampling import half_width, resample
from vocoder.audio.writing import Origin, count_clipped, mark, quantise

OPEN_SIZE = 0xFFFFFFFF  # size of a RIFF chunk whose length is unknown when its header is written
WAVE_CODES = {"PCM_16": (1, 16), "FLOAT": (3, 32)}  # format tag and bits


class PieceEncoder:
    """Encodes audio with libsndfile and returns the bytes as they are written.

    The header holds the origin, if the format can store it, and the number of `samples` to come, if it is known.
    """

    def __init__(
        self, target: Format, sample_rate: int, origin: Origin | None = None, samples: int | None = None
    ) -> None:
        self.clipped = 0
        self._encoding, head = target.encoding, b""
        container, subtype = self._encoding.container, self._encoding.subtype
        if container == "WAV":  # libsndfile would go back to write the length into its header
            container, head = "RAW", _wave_head(subtype, sample_rate, origin, samples)
        self._samples = samples if container == "FLAC" else None
        self._sink = _Sink(head)
        self._file = soundfile.SoundFile(self._sink, "w", sample_rate, 1, subtype, format=container)
        if container != "RAW":
            mark(self._file, origin)

    def encode(self, x: Waveform) -> bytes:
        """Encode x (T,) and return the bytes of completed blocks."""
        if self._encoding.subtype != "FLOAT":
            self.clipped += count_clipped(x)
            x = np.clip(x, -1.0, 1.0) if self._encoding.bits is None else quantise(x, self._encoding.bits)
        self._file.write(x)
        body = self._sink.take()
        if self._samples is not None and body:  # libsndfile reads no FLAC without a length (RFC 9639, 8.2)
            fields = int.from_bytes(body[18:26], "big") | self._samples  # in the last 36 bits
            body, self._samples = body[:18] + fields.to_bytes(8, "big") + body[26:], None
        return body

    def finish(self) -> bytes:
        """Return the bytes of the last blocks."""
        self._file.close()
        return self._sink.take()


class _Sink:
    """An append-only file whose new bytes can be taken out.

    When libsndfile closes a FLAC file, it goes back to write sizes and a checksum into the header. They are optional,
    and the header has already been sent.
    """

    def __init__(self, head: bytes) -> None:
        self._position = 0
        self._end = 0
        self._fresh = bytearray(head)

    def take(self) -> bytes:
        """Return what was written since the last call."""
        fresh = bytes(self._fresh)
        self._fresh.clear()
        return fresh

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position."""
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._end}[whence]
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def write(self, data: object) -> int:
        """Append bytes written at the end; ignore bytes written elsewhere."""
        body = bytes(data)  # type: ignore[call-overload]
        if self._position == self._end:
            self._fresh += body
            self._end += len(body)
        self._position += len(body)
        return len(body)


def _wave_head(subtype: str, sample_rate: int, origin: Origin | None, samples: int | None) -> bytes:
    code, bits = WAVE_CODES[subtype]
    size = bits // 8
    layout = struct.pack("<HHIIHH", code, 1, sample_rate, sample_rate * size, size, bits)
    texts = {b"ISFT": origin.program, b"ICMT": origin.to_json()} if origin else {}
    notes = b"".join(_chunk(name, text.encode() + b"\0") for name, text in texts.items())
    head = b"WAVE" + _chunk(b"fmt ", layout) + (_chunk(b"LIST", b"INFO" + notes) if notes else b"") + b"data"
    data = OPEN_SIZE if samples is None else samples * size
    whole, inner = (struct.pack("<I", min(length, OPEN_SIZE)) for length in (len(head) + 4 + data, data))
    return b"RIFF" + whole + head + inner


def _chunk(name: bytes, content: bytes) -> bytes:
    """Return a RIFF chunk, padded to an even length; its size field does not count the padding."""
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


class PieceResampler:
    """Resamples piece by piece, with the same result as `resample` on the whole waveform.

    Each output sample depends on input samples around it, so input is kept until its context has arrived.
    """

    def __init__(self, source_rate: int, target_rate: int) -> None:
        divisor = math.gcd(source_rate, target_rate)
        self._rates = source_rate, target_rate
        # Resampling works on whole blocks: `down` input samples become `up` output samples.
        self._down, self._up = source_rate // divisor, target_rate // divisor
        self._context = math.ceil(half_width(source_rate, target_rate) / self._down) + 1
        self._before = 0  # blocks of context at the start of `_kept`
        self._kept: Waveform = np.empty(0, np.float32)

    def push(self, x: Waveform, last: bool = False) -> Waveform:
        """Take the next samples (T,), maybe none, and return the output samples that are now final."""
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
