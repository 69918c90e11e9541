"""Synthesizes one utterance chunk by chunk, each in its turn on a lane, and encodes it for its client."""

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import Future

import numpy as np
import torch
from numpy.typing import NDArray
from starlette.requests import HTTPConnection

from server.audio.formats import OutputSpec
from server.audio.pieces import PieceEncoder, PieceResampler
from server.engine.engine import Engine
from server.engine.jobs import Job, at_once
from server.engine.model import LoadedModel, Remote, check_output
from server.engine.queue import QueueFullError
from server.service import Service
from server.telemetry.requests import note
from vocoder.adapt.path import Placement
from vocoder.mel.config import MelConfig
from vocoder.sampling import Sampling, sampling_fields
from vocoder.synthesis.stream import LONG_CHUNK_FRAMES, OPENING_FRAMES, Playback, StreamSession

VALUE_BYTES = 4  # size of an audio sample or a mel value
STATE_BYTES = 2**20  # about the size of a model's state between two chunks
FIRST_FRAMES = 64  # assumed for the first chunk, before its session exists
SPARE = 1.5  # least duration of a chunk's audio, in expected waits for the next chunk
USED = 0.6  # fraction of the time left for a chunk that its computation should take
UNNOTICED = 0.1  # seconds; an utterance is one chunk if it takes one core at most `USED` of this and the wait together
MOST_FIRST = 32  # frames to which a first chunk may be extended so that the second is the last
DEFERRED = 0.3  # seconds for which later chunks may give way to others' first chunks while there is audio to play
QUEUE_PATIENCE = 0.05  # seconds between attempts while the queue is full
NOTHING = np.empty(0, np.float32)


def chunk_bytes(config: MelConfig, sample_rate: int, frames: int) -> int:
    """Return the most bytes that a stream of `frames` holds besides its mel, with audio at `sample_rate`."""
    samples = min(frames, LONG_CHUNK_FRAMES) * config.hop_length
    return STATE_BYTES + VALUE_BYTES * (samples + samples * sample_rate // config.sample_rate)


class AudioStream:
    """Takes a mel piece by piece and returns encoded audio chunk by chunk.

    The device is free between two chunks, so a slow client blocks nobody. The lane that computes a chunk also encodes
    it, so that each chunk changes threads only twice. Frames may be pushed at any time; all other methods belong to the
    task that takes the chunks. `placement` aligns the audio in time; `samples` is the length of the audio, if known.
    """

    def __init__(
        self,
        service: Service,
        engine: Engine,
        sampling: Sampling,
        output: OutputSpec,
        placement: Placement,
        connection: HTTPConnection,
        samples: int | None = None,
    ) -> None:
        config = engine.model.mel_config
        self.route: str = connection.scope["route"].path
        self.frames = 0  # mel frames so far
        self.ended = False  # whether the mel is complete
        self.samples = 0  # audio samples so far, at the output rate
        self.sharpened = 0.0  # how far the latest frame was sharpened, 0 to 1
        self.playback = Playback()
        self._service, self._engine, self._sampling, self._connection = service, engine, sampling, connection
        self._output, self._placement, self._mel_config = output, placement, config
        self._pieces = deque[NDArray[np.float32]]()
        self._changed = asyncio.Event()
        self._started = Future[None]()
        self._session: StreamSession | None = None
        self._finished = False
        self._reach = 0  # wanted frames of the next chunk
        self._synthesized = 0  # samples at the model's rate
        self._factor = np.float32(output.level.factor)
        self._resampler = PieceResampler(config.sample_rate, output.rate)
        self.encoder = PieceEncoder(output.format, output.rate, output.origin, samples)
        self._body = b""
        self.began = time.monotonic()
        """when the mel began, from which the time to the first audio counts"""
        self._encode_seconds = 0.0
        self._seconds = {"queue_seconds": 0.0, "infer_seconds": 0.0}

    @property
    def pending_bytes(self) -> int:
        """Memory of the frames that are kept: those not yet synthesized, or all if another process synthesizes."""
        done = 0 if self._remote else self._synthesized // self._mel_config.hop_length
        return VALUE_BYTES * self._mel_config.n_mels * (self.frames - done)

    @property
    def _remote(self) -> Remote | None:
        """The pipeline, if another process computes."""
        pipeline: object = self._session and self._session.pipeline
        return pipeline if isinstance(pipeline, Remote) else None

    async def started(self, seconds: float) -> None:
        """Wait until a lane has begun to compute audio, at most for these seconds."""
        await asyncio.wait([asyncio.wrap_future(self._started)], timeout=seconds)

    def push(self, mel: NDArray[np.float32]) -> None:
        """Add admitted frames (n_mels, frames), maybe none, in the model's own config."""
        if mel.shape[1]:
            self.frames += mel.shape[1]
            self._pieces.append(mel)
            self._changed.set()

    def end(self) -> None:
        """Mark the end of the mel."""
        self.ended = True
        self._changed.set()

    async def bodies(self) -> AsyncIterator[bytes]:
        """Yield the encoded audio until the end of the mel; empty while the encoder needs more samples.

        If the queue is full, a chunk waits up to `max_wait` instead of failing, because its request was admitted.

        Raises a QueueFullError, NotReadyError or SynthesisError if synthesis fails.
        """
        while await self._has_work():
            yield await self._chunk()
        self.playback.work()
        yield b"" if self._finished else await self._service.run(self._finish)
        name = self._output.format.name
        self._service.metrics.count_encoding(self._engine.name, name, self._encode_seconds, self.encoder.clipped)
        note(self._connection, clipped=self.encoder.clipped, **self.rounded_seconds())

    async def _has_work(self) -> bool:
        """Wait until there is audio to compute or the mel has ended; return whether there is audio."""
        while True:
            self._changed.clear()
            session = self._session
            if session is not None:
                self._hand_over(session)
            if bool(self._pieces) if session is None else session.ready > 0:
                return True
            if self.ended and (self.frames == 0 if session is None else session.done):
                return False
            await self._changed.wait()

    async def _chunk(self) -> bytes:
        self.playback.work()
        last = time.monotonic() + self._service.settings.max_wait
        while True:
            try:
                chunk = self.next()
                await asyncio.wrap_future(chunk)  # cancelling removes the job from the queue
                return self.taken(chunk)
            except QueueFullError:
                if time.monotonic() > last:
                    raise
                await asyncio.sleep(QUEUE_PATIENCE)

    def next(self) -> Job:
        """Queue the next chunk, for `taken`. Its audio is empty if the model needs more of the mel first.

        The sooner a listener has no audio left, the earlier its turn. Raises like `Engine.submit`.
        """
        self._reach = self._frames_until_dry()
        if self._session is None:
            frames = min(self.frames, max(FIRST_FRAMES, self._reach))
        else:
            self._session.reach = self._reach
            frames = self._session.ready
        model = self._engine.model
        job = Job(
            frames,
            parts=at_once(self._step, model),
            cost=model.cost(self._sampling.corrections),
            listened=not self._synthesized and not (self.ended and self._reach >= self.frames),
            due=min(self.playback.ahead, DEFERRED),
            available=lambda: self._remote is None or self._remote.available,
        )
        return self._engine.admit(job)

    def _frames_until_dry(self) -> int:
        """Return the frames of the next chunk: long, to need few chunks, but computed before playback runs dry.

        The audio of a chunk should last until the one after it is computed. Each additional chunk costs as much as a
        third of an utterance, so the first is extended if the second can then be the last, or is the only one if that
        is hardly later. Computing a chunk may take `USED` of the wait, or of the playback time left after it if that is
        longer.
        """
        queue, frame_seconds = self._engine.queue, self._mel_config.hop_length / self._mel_config.sample_rate
        wait = queue.expected_wait()
        pace = USED * queue.pace.frames_per_second / self._engine.model.cost(self._sampling.corrections)
        if self._synthesized:
            wanted = max(self.playback.ahead - wait, wait) * pace
        elif self.ended and self.frames <= (UNNOTICED + wait) * pace:
            return self.frames
        else:
            wanted = max(min(MOST_FIRST, (wait + self.frames / pace) / frame_seconds), wait * pace)
        frames = max(SPARE * wait / frame_seconds, wanted)
        return math.ceil(min(frames, LONG_CHUNK_FRAMES) / OPENING_FRAMES) * OPENING_FRAMES

    def taken(self, chunk: Job) -> bytes:
        """Return the bytes to send after a chunk was computed, possibly none, and count the chunk."""
        if not len(chunk.result()):
            return b""
        metrics, body = self._service.metrics, self._body
        self._body = b""
        self._seconds["queue_seconds"] += chunk.queue_seconds
        self._seconds["infer_seconds"] += chunk.infer_seconds
        metrics.count_synthesis(self._engine.name, chunk, self._mel_config)
        if not body:  # the encoder needs more samples
            return body
        self.playback.deliver(self.samples / self._output.rate)
        if 0.0 < self.playback.late == self.playback.dry_seconds:  # for the first time
            metrics.record("dry_streams", route=self.route)
        if "first_audio_seconds" not in self._seconds:
            self._seconds["first_audio_seconds"] = time.monotonic() - self.began
            metrics.record("first_audio_seconds", self._seconds["first_audio_seconds"], route=self.route)
        return body

    def rounded_seconds(self) -> dict[str, float]:
        """Return the seconds of queueing, inference, pauses in playback, and waiting for the first audio."""
        seconds = {**self._seconds, "dry_seconds": self.playback.dry_seconds}
        return {name: round(value, 6) for name, value in seconds.items()}

    def _step(self, model: LoadedModel) -> NDArray[np.float32]:
        if self._session is None:
            self._session = model.open_stream(sampling_fields(self._sampling))
            self._session.playback, self._session.reach = self.playback, self._reach
        self._hand_over(self._session)  # frames, or the end, that arrived while the chunk waited for its turn
        if not self._started.done():
            self._started.set_result(None)
        before = self._session.frames
        x: NDArray[np.float32] = self._session.next(delivered=False)
        check_output(x, self._session.frames - before, self._mel_config.hop_length)
        self.sharpened = self._session.sharpened
        if len(x):
            self._synthesized += len(x)
            self._body += self._encode(self._factor * self._placement.place(torch.from_numpy(x)).numpy())
            if self._session.done:
                self._body += self._finish()
        return x

    def _hand_over(self, session: StreamSession) -> None:
        """Pass frames to the session; called on a lane during a step, otherwise on the event loop's thread."""
        ended = self.ended  # read first: all frames pushed before the end are among the pieces
        while self._pieces:
            session.push(self._engine.model.admitted(self._pieces.popleft()))
        if ended:
            session.finish()

    def _encode(self, x: NDArray[np.float32], last: bool = False) -> bytes:
        started = time.perf_counter()
        y = self._resampler.push(x, last)
        self.samples += len(y)
        body = self.encoder.encode(y) if len(y) else b""
        self._encode_seconds += time.perf_counter() - started
        return body

    def _finish(self) -> bytes:
        self._finished = True
        last = self._encode(NOTHING, last=True) if self._synthesized else b""
        return last + self.encoder.finish()
