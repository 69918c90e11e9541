"""One utterance synthesized chunk by chunk, each in its turn on the device."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from server.engine.engine import Engine
from server.engine.errors import QueueFullError
from server.engine.model import check_output
from server.engine.queue import Job
from server.stream.encoder import StreamEncoder
from vocoder.adapt.path import MelPath
from vocoder.admission import Admitted
from vocoder.mel.config import MelConfig
from vocoder.sampling import Sampling, voice_of
from vocoder.synthesis.stream import LONG_CHUNK_FRAMES, StreamSession

VALUE_BYTES = 4
"""of a sample of audio, or of a value of a mel"""
STATE_BYTES = 2**20  # about what a model remembers between two chunks

FIRST_FRAMES = 64  # assumed for the first chunk, before its session exists
QUEUE_PATIENCE = 0.05  # seconds between attempts while the queue is full


def chunk_bytes(config: MelConfig, sample_rate: int, frames: int) -> int:
    """Return the bytes that a stream of so many frames holds at most beside its mel, at the rate of its answer."""
    samples = min(frames, LONG_CHUNK_FRAMES) * config.hop_length
    return STATE_BYTES + VALUE_BYTES * (samples + samples * sample_rate // config.sample_rate)


class ChunkStream:
    """A mel goes in piece by piece, and one chunk at a time comes out.

    Between two chunks the device is free, so a slow client holds up nobody. Frames may be pushed at any time. The other
    methods belong to the one task that takes the chunks.
    """

    def __init__(self, engine: Engine, sampling: Sampling, encoder: StreamEncoder) -> None:
        self.frames = 0
        """of the mel so far"""
        self.ended = False
        """whether the mel is complete"""
        self._engine = engine
        self._sampling = sampling
        self._encoder = encoder
        self._session: StreamSession | None = None
        self._pieces = deque[Admitted]()
        self._path = MelPath(engine.mel_config, engine.mel_config)
        self._changed = asyncio.Event()
        self._closed = False
        self._begun = False

    def push(self, mel: NDArray[np.float32]) -> None:
        """Take the next frames (n_mels, frames), admitted, in the model's own config."""
        self.frames += mel.shape[1]
        self._pieces.append(Admitted(torch.from_numpy(mel)[None], self._path, mel.shape[1], (), mel))
        self._changed.set()

    def finish(self) -> None:
        """Mark the end of the mel."""
        self.ended = True
        self._changed.set()

    @property
    def done(self) -> bool:
        """Whether the mel has ended and all of its audio has been returned."""
        return self.ended and (self.frames == 0 if self._session is None else self._closed and self._session.done)

    async def wait(self) -> bool:
        """Wait until there is audio to compute, or the mel has ended; return whether there is audio."""
        while True:
            self._changed.clear()
            if self._session is not None:
                self._hand_over(self._session)
            if bool(self._pieces) if self._session is None else self._session.ready > 0:
                return True
            if self.done:
                return False
            await self._changed.wait()

    async def chunk(self, max_wait: float) -> bytes:
        """Return a further chunk, encoded. If the queue is full, wait up to `max_wait` seconds: it was admitted.

        Raises:
            QueueFullError, NotReadyError, SynthesisError: there is no audio.
        """
        self._encoder.playback.work()
        last = time.monotonic() + max_wait
        while True:
            try:
                return self._encoder.taken(await asyncio.wrap_future(self.next()))  # cancelled, it leaves the queue
            except QueueFullError:
                if time.monotonic() > last:
                    raise
                await asyncio.sleep(QUEUE_PATIENCE)

    def next(self, deadline: float | None = None) -> Job:
        """Queue the next chunk, which the encoder is given. It is empty if the model needs more of the mel first.

        Until its first audio, a stream goes before all other waiting work.

        Raises:
            NotReadyError, QueueFullError: the engine takes no work.
        """
        session = self._session
        frames = min(self.frames, FIRST_FRAMES) if session is None else session.ready
        corrections, listened = self._sampling.corrections, not self._begun
        return self._engine.run(
            self._step, frames=frames, corrections=corrections, listened=listened, deadline=deadline
        )

    def _step(self, synthesizer: Any) -> NDArray[np.float32]:
        if self._session is None:
            session = synthesizer.open_stream(**voice_of(self._sampling))
            self._hand_over(session)
            self._session = session
        frames = self._session.ready
        x: NDArray[np.float32] = self._session.next()
        check_output(x, frames, synthesizer.hop_length)
        self._begun = self._begun or frames > 0
        self._encoder.push(x)
        return x

    def _hand_over(self, session: StreamSession) -> None:
        """Pass frames on, on a lane during a step and on the event loop's thread at other times."""
        ended = self.ended  # read first: all frames pushed before the end are among the pieces
        while self._pieces:
            session.push(self._pieces.popleft())
        if ended and not self._closed:
            session.finish()
            self._closed = True
