"""One utterance synthesized chunk by chunk, each when the device comes to it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.engine.engine import Engine
from server.engine.loaded_model import check_output
from server.engine.queue import Job, Priority
from server.engine.synthesizer import StreamSession

__all__ = ["SynthesisStream"]

FIRST_FRAMES = 64
"""frames that a first step is taken to compute, before its session can tell"""


class SynthesisStream:
    """A mel goes in piece by piece, and one chunk at a time comes out when it is asked for.

    Between two chunks nothing of the stream waits for the device: whoever takes them slowly holds up nobody. Only one
    chunk may be under way at a time, and meanwhile nothing may be pushed.

    Args:
        engine: that synthesizes.
        sigma: sampling temperature; the model's own if None.
        seed: of the noise.
        denoise: strength of the removal of the model's own hum.
        corrections: how often the audio is corrected towards its mel; the model's own number if None.
    """

    def __init__(
        self, engine: Engine, sigma: float | None, seed: int | None, denoise: float, corrections: int | None
    ) -> None:
        self._engine = engine
        self._options = {"sigma": sigma, "seed": seed, "denoise": denoise, "corrections": corrections}
        self._session: StreamSession | None = None
        self._pieces: list[NDArray[np.float32]] = []
        self._finished = False
        self._begun = False
        self.frames = 0
        """frames of the mel so far"""

    @property
    def ready(self) -> bool:
        """Whether `next` may have audio to return."""
        return bool(self._pieces) if self._session is None else self._session.ready > 0

    @property
    def done(self) -> bool:
        """Whether the mel has ended and all of its audio has been returned."""
        return self._finished and (self.frames == 0 if self._session is None else self._session.done)

    def push(self, mel: NDArray[np.float32]) -> None:
        """Take the next frames (n_mels, frames) of the mel, in the model's own contract."""
        self.frames += mel.shape[1]
        self._pieces.append(mel)
        if self._session is not None:
            self._hand_over(self._session)

    def finish(self) -> None:
        """Say that no more frames will come."""
        self._finished = True
        if self._session is not None:
            self._session.finish()

    def next(self, deadline: float | None = None) -> Job:
        """Have the next chunk computed; it is empty where the model needs more of the mel first.

        Until the first audio the stream goes before everything else that waits, since somebody waits to hear it.

        Raises:
            NotReadyError, QueueFullError: the engine takes no work.
        """
        session = self._session
        frames = min(self.frames, FIRST_FRAMES) if session is None else session.ready
        priority = Priority.NORMAL if self._begun else Priority.FIRST_CHUNK
        return self._engine.run(self._step, frames=frames, priority=priority, deadline=deadline)

    def _step(self, synthesizer: Any) -> NDArray[np.float32]:
        if self._session is None:
            session = synthesizer.open_stream(**self._options)
            self._hand_over(session)
            if self._finished:
                session.finish()
            self._session = session
        frames = self._session.ready
        x = self._session.next()
        check_output(x, frames, synthesizer.hop_length)
        self._begun = self._begun or frames > 0
        return x

    def _hand_over(self, session: StreamSession) -> None:
        for mel in self._pieces:
            session.push(mel)
        self._pieces.clear()
