"""A stream's waveform to the bytes that a client gets: resampled, encoded, counted and timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from server.audio.formats import Format, Level
from server.audio.pieces import PieceResampler, open_encoder
from server.engine.engine import Engine
from server.engine.queue import Synthesis
from server.service import Service
from vocoder.adapt.path import Placement
from vocoder.audio.origin import Origin

NOTHING = np.empty(0, np.float32)


class StreamEncoder:
    """Encodes each chunk, and keeps count for the summary and the metrics.

    A lane calls `push` with the audio that it has just made, the event loop then `taken`: a chunk goes to one other
    thread and back. `placement` moves the model's audio to its place in time. `level` is a gain.
    """

    def __init__(
        self,
        service: Service,
        engine: Engine,
        target: Format,
        sample_rate: int,
        route: str,
        placement: Placement,
        level: Level,
        origin: Origin | None = None,
    ) -> None:
        self._service = service
        self._engine = engine
        self._target = target
        self.route = route
        self._placement = placement
        self._factor = np.float32(level.factor)
        self._began = time.monotonic()
        self.hop_length = engine.mel_config.hop_length
        self._resampler = PieceResampler(engine.mel_config.sample_rate, sample_rate)
        self._encoder = open_encoder(target, sample_rate, origin)
        self._encode_seconds = 0.0
        self._body = b""
        self.sample_rate = sample_rate
        self.samples = 0
        self.model_samples = 0
        self.queue_seconds = 0.0
        self.infer_seconds = 0.0
        self.first_audio_seconds: float | None = None
        self.playback = Playback()

    @property
    def clipped(self) -> int:
        """Samples clipped so far."""
        return self._encoder.clipped

    def begin(self) -> None:
        """Measure the time to the first audio from now on."""
        self._began = time.monotonic()

    def push(self, x: NDArray[np.float32]) -> None:
        """Encode the next audio (T,) of the model."""
        if len(x):
            self.model_samples += len(x)
            self._body += self._encode(self._factor * self._placement.place(torch.from_numpy(x)).numpy())

    def taken(self, chunk: Synthesis) -> bytes:
        """Return the bytes that can be sent after a chunk was pushed, and count it."""
        if not len(chunk.x):
            return b""
        self.queue_seconds += chunk.queue_seconds
        self.infer_seconds += chunk.infer_seconds
        metrics, body = self._service.metrics, self._body
        self._body = b""
        metrics.count_synthesis(self._engine.name, chunk, len(chunk.x) // self.hop_length)
        if not body:  # the encoder waits for more
            return body
        self.playback.deliver(self.samples / self.sample_rate)
        if 0.0 < self.playback.late == self.playback.dry_seconds:  # for the first time
            metrics.record("dry_streams", route=self.route)
        if self.first_audio_seconds is None:
            self.first_audio_seconds = time.monotonic() - self._began
            metrics.record("first_audio_seconds", self.first_audio_seconds, route=self.route)
        return body

    async def finish(self) -> bytes:
        """Return the last bytes."""
        body = await self._service.run(self._finish)
        self._service.metrics.count_encoding(self._engine.name, self._target.name, self._encode_seconds, self.clipped)
        return body

    def summary(self) -> dict[str, Any]:
        """Return what a client is told about the audio."""
        audio = {"samples": self.samples, "clipped": self.clipped, "sample_rate": self.sample_rate}
        return audio | self.rounded_seconds()

    def rounded_seconds(self) -> dict[str, float]:
        """Return how long the chunks waited and took, and a listener's pauses and wait for the first audio, if any."""
        seconds = {"queue_seconds": self.queue_seconds, "infer_seconds": self.infer_seconds}
        seconds["dry_seconds"] = self.playback.dry_seconds
        if self.first_audio_seconds is not None:
            seconds["first_audio_seconds"] = self.first_audio_seconds
        return {name: round(value, 6) for name, value in seconds.items()}

    def _encode(self, x: NDArray[np.float32], last: bool = False) -> bytes:
        started = time.perf_counter()
        y = self._resampler.push(x, last)
        self.samples += len(y)
        body = self._encoder.encode(y) if len(y) else b""
        self._encode_seconds += time.perf_counter() - started
        return body

    def _finish(self) -> bytes:
        last = self._encode(NOTHING, last=True) if self.model_samples else b""
        return last + self._encoder.finish()


class Playback:
    """A listener who plays audio as soon as it is there, and pauses only where the server is late.

    While the server waits, for the client to take audio or to send more of the mel, the listener does not run dry.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.late = 0.0
        """seconds of the pause before the last audio"""
        self.dry_seconds = 0.0
        """of all pauses"""
        self._clock = clock
        self._seconds = 0.0  # of audio so far
        self._ahead = 0.0  # seconds of it that are not played yet, at the time `since`
        self._since = clock()
        self._working = False

    def work(self) -> None:
        """Mark that the server begins with the next audio."""
        self.late = 0.0
        if not self._working:
            now = self._clock()
            self._ahead, self._since = max(0.0, self._ahead - (now - self._since)), now
            self._working = True

    def deliver(self, seconds: float) -> None:
        """Mark that so many seconds of audio are there in all."""
        now = self._clock()
        ahead = self._ahead - (now - self._since)
        self.late = max(0.0, -ahead) if self._seconds else 0.0
        self.dry_seconds += self.late
        self._ahead, self._since = max(0.0, ahead) + seconds - self._seconds, now
        self._seconds, self._working = seconds, False
