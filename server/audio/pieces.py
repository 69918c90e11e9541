"""Waveforms to bytes piece by piece. The pieces decode to the same samples as the whole waveform encoded at once."""

import io
import math
import struct

import numpy as np
import soundfile

from server.audio.formats import Format, Waveform, count_clipped
from vocoder.audio.resampling import half_width, resample
from vocoder.audio.writing import Origin, mark, quantise

OPEN_SIZE = 0xFFFFFFFF  # of a RIFF chunk whose length is unknown when its header is written
WAVE_CODES = {"PCM_16": (1, 16), "FLOAT": (3, 32)}  # format tag and bits


class PieceEncoder:
    """Passes on what libsndfile writes while the file grows.

    The header has the origin, if there is room, and how many `samples` will come, if that is known.
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
        """Return the complete blocks."""
        if self._encoding.subtype != "FLOAT":
            self.clipped += count_clipped(x)
            x = np.clip(x, -1.0, 1.0) if self._encoding.bits is None else quantise(x, self._encoding.bits)
        self._file.write(x)
        body = self._sink.take()
        if self._samples is not None and body:
            body, self._samples = _told(body, self._samples), None
        return body

    def finish(self) -> bytes:
        """Return the last blocks."""
        self._file.close()
        return self._sink.take()


class _Sink(io.RawIOBase):
    """A file whose end can be taken away and whose past cannot be changed.

    When it closes a FLAC file, libsndfile goes back to write sizes and a checksum into the header. They are optional,
    and the header has been sent by then.
    """

    def __init__(self, head: bytes) -> None:
        super().__init__()
        self._position = 0
        self._end = 0
        self._fresh = bytearray(head)

    def take(self) -> bytes:
        """Return what was written since the last call."""
        fresh = bytes(self._fresh)
        self._fresh.clear()
        return fresh

    def seekable(self) -> bool:
        """Answer yes, since libsndfile insists."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position."""
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._end}[whence]
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def write(self, data: object) -> int:
        """Keep what is written at the end, and ignore the rest."""
        body = bytes(data)  # type: ignore[call-overload]
        if self._position == self._end:
            self._fresh += body
            self._end += len(body)
        self._position += len(body)
        return len(body)


def _told(flac: bytes, samples: int) -> bytes:
    """Return the beginning of a FLAC file with its number of samples: libsndfile reads none without (RFC 9639, 8.2)."""
    fields = int.from_bytes(flac[18:26], "big")  # the last 36 bits are for it
    return flac[:18] + (fields | samples).to_bytes(8, "big") + flac[26:]


def _wave_head(subtype: str, sample_rate: int, origin: Origin | None, samples: int | None) -> bytes:
    code, bits = WAVE_CODES[subtype]
    size = bits // 8
    layout = struct.pack("<HHIIHH", code, 1, sample_rate, sample_rate * size, size, bits)
    head = b"WAVE" + _chunk(b"fmt ", layout) + _information(origin) + b"data"
    data = OPEN_SIZE if samples is None else samples * size
    whole, inner = (struct.pack("<I", min(length, OPEN_SIZE)) for length in (len(head) + 4 + data, data))
    return b"RIFF" + whole + head + inner


def _information(origin: Origin | None) -> bytes:
    if origin is None:
        return b""
    texts = {b"ISFT": origin.program, b"ICMT": origin.to_json()}
    return _chunk(b"LIST", b"INFO" + b"".join(_chunk(name, text.encode() + b"\0") for name, text in texts.items()))


def _chunk(name: bytes, content: bytes) -> bytes:
    """Return a RIFF chunk. It is padded to an even length; its size does not count the padding."""
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


class PieceResampler:
    """Resamples piece by piece, with the same result as `resample` on the whole waveform.

    Each output sample depends on input samples around it, so input is kept until its surroundings have arrived.
    """

    def __init__(self, source_rate: int, target_rate: int) -> None:
        divisor = math.gcd(source_rate, target_rate)
        self._rates = source_rate, target_rate
        # Resampling works on whole blocks: `down` samples of input become `up` of output.
        self._down, self._up = source_rate // divisor, target_rate // divisor
        self._context = math.ceil(half_width(source_rate, target_rate) / self._down) + 1
        self._before = 0  # blocks of context at the start of what is kept
        self._kept: Waveform = np.empty(0, np.float32)

    def push(self, x: Waveform, last: bool = False) -> Waveform:
        """Take the next samples (T,), maybe none, and return the output samples that are certain by now."""
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
