"""From a stream's waveform to the bytes that a client gets: resampled, encoded, counted and timed."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from server.audio.encoding import Format
from server.audio.stream_encoding import PieceResampler, open_encoder
from server.engine.engine import Engine
from server.engine.queue import Synthesis
from server.service import Service
from vocoder.adapt.placing import Placing
from vocoder.audio.origin import Origin

__all__ = ["StreamEncoder"]

NOTHING = np.empty(0, np.float32)


class StreamEncoder:
    """Makes of each chunk the bytes to send, and keeps count for the summary and the metrics.

    Args:
        service: whose metrics count, and whose threads encode.
        engine: that synthesizes.
        target: one of `STREAM_FORMATS`.
        sample_rate: Hz of what is sent.
        route: the template of the address, for the metrics.
        placing: takes the model's audio to where it belongs in time.
        samples: how many samples will be sent, where that is known.
        origin: what the audio says of where it comes from.
    """

    def __init__(
        self,
        service: Service,
        engine: Engine,
        target: Format,
        sample_rate: int,
        route: str,
        placing: Placing,
        samples: int | None = None,
        origin: Origin | None = None,
    ) -> None:
        self._service = service
        self._engine = engine
        self._target = target
        self.route = route
        self._placing = placing
        self._began = time.monotonic()
        self._model_rate = engine.contract.mel_config.sample_rate
        self.hop_length = engine.contract.mel_config.hop_length
        self._resampler = PieceResampler(self._model_rate, sample_rate)
        self._encoder = open_encoder(target, sample_rate, samples, origin)
        self._encode_seconds = 0.0
        self.sample_rate = sample_rate
        self.samples = 0
        self.model_samples = 0
        self.queue_seconds = 0.0
        self.infer_seconds = 0.0
        self.first_audio_seconds: float | None = None

    @property
    def clipped(self) -> int:
        """Samples that were cut at full scale so far."""
        return self._encoder.clipped

    def begin(self) -> None:
        """Say that the first of the mel came only now, rather than when this was made."""
        self._began = time.monotonic()

    async def encode(self, chunk: Synthesis) -> bytes:
        """Return the bytes that can be sent now."""
        if not len(chunk.x):
            return b""
        self.model_samples += len(chunk.x)
        self.queue_seconds += chunk.queue_seconds
        self.infer_seconds += chunk.infer_seconds
        self._service.metrics.count_synthesis(self._engine.name, chunk, len(chunk.x) // self.hop_length)
        body = await self._service.run(self._encode, self._placing.place(chunk.x))
        if self.first_audio_seconds is None and body:
            self.first_audio_seconds = time.monotonic() - self._began
            self._service.metrics.count_first_audio(self.route, self.first_audio_seconds)
        return body

    async def finish(self) -> bytes:
        """Return the last bytes."""
        body = await self._service.run(self._finish)
        self._service.metrics.count_encoding(self._engine.name, self._target.name, self._encode_seconds, self.clipped)
        return body

    def abandon(self) -> None:
        """Count the stream as given up by its client."""
        self._service.metrics.count_cancelled(self._engine.name, "streaming")

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
