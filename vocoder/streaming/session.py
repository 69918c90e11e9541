"""One utterance whose mel is still arriving."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vocoder.adapt.passage import Passage
from vocoder.streaming.pipeline import Pipeline

__all__ = [
    "CHUNK_FRAMES",
    "FIRST_CHUNK_FRAMES",
    "LATE_GROWTH",
    "LONG_CHUNK_FRAMES",
    "QUICK_GROWTH",
    "StreamSession",
    "drained",
]

CHUNK_FRAMES = 64
"""frames of a chunk: each stage of the models here then computes at most 1.25 frames for each that is delivered"""
LONG_CHUNK_FRAMES = 1024
"""frames of a chunk of a mel that has ended, for parallel models: longer runs take less time by the frame"""
GROWTH, LATE_GROWTH, QUICK_GROWTH = 2, 8, 16
"""how many times as long as the one before a chunk is at most: while the mel arrives, once it has ended, and then of
models that take one step a frame and so speak dozens of times faster than real time"""
FIRST_CHUNK_FRAMES = 8
"""frames of the first chunk, a tenth of a second"""


class StreamSession:
    """Frames of one mel go in as they come, audio comes out as soon as all that it depends on is there.

    The chunks are as long as they were asked to be, whatever the pieces that the mel came in: the first is short, each
    other at most twice as long as the one before it, or eight or sixteen times once the mel has ended, so that what has
    been heard by then covers the wait, and only the last is shorter. Put together they are what
    `Synthesizer.synthesize` makes of all frames. Pushing computes nothing. The calls may come from several
    threads, one at a time.

    Once the mel has ended nobody waits for more of it, and chunks may be longer.

    Args:
        pipeline: the stages of the model, for one mel.
        check: turns what is pushed into mel frames (1, n_mels, frames) of the contract that they come in, or raises.
        passage: takes these to the model's contract, and its audio to where it belongs in time.
        chunk_frames: frames of a chunk.
        first_chunk_frames: frames of the first chunk; `FIRST_CHUNK_FRAMES`, or a chunk if that is less, if left out.
        late_chunk_frames: frames of a chunk once the mel has ended; `chunk_frames` if left out.
        late_growth: how many times as long as the one before it a chunk is at most by then.

    Raises:
        ValueError: a chunk would hold no frame.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        check: Callable[[Any], Tensor],
        passage: Passage,
        chunk_frames: int = CHUNK_FRAMES,
        first_chunk_frames: int | None = None,
        late_chunk_frames: int | None = None,
        late_growth: int = LATE_GROWTH,
    ) -> None:
        first = min(FIRST_CHUNK_FRAMES, chunk_frames) if first_chunk_frames is None else first_chunk_frames
        for name, value in (("chunk_frames", chunk_frames), ("first_chunk_frames", first)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        self._pipeline = pipeline
        self._check = check
        self._passage = passage
        self._chunk_frames = chunk_frames
        self._late_growth = late_growth
        self._late_chunk_frames = chunk_frames if late_chunk_frames is None else late_chunk_frames
        self._next_frames = first
        self._waiting: deque[Tensor] = deque()
        self._pushed = 0
        self._finished = False
        self._device: torch.device | None = None
        """of the tensors that are pushed; none for arrays"""
        self._like: Tensor | None = None

    @property
    def lookahead(self) -> int:
        """Frames of the model after a chunk that it must have before it can compute it, unless the mel has ended."""
        return self._pipeline.lookahead

    @property
    def ready(self) -> int:
        """Frames of audio that `next` would return now; 0 if it has to wait for more of the mel."""
        left = self._pushed - self._pipeline.frames
        if self._finished:
            return min(self._next_frames, left)
        return self._next_frames if left >= self._next_frames + self.lookahead else 0

    @property
    def done(self) -> bool:
        """Whether the mel has ended and all of its audio has been returned."""
        return self._finished and self._pipeline.frames == self._pushed

    def push(self, mel: Any) -> None:
        """Take the next frames of the mel, (n_mels, frames), tensor or array.

        Raises:
            MelError: they do not fit the model's contract.
            ValueError: the mel has ended already.
        """
        if self._finished:
            raise ValueError("the mel of this stream has ended; it takes no more frames")
        batch = self._check(mel)
        self._device = mel.device if isinstance(mel, Tensor) else None
        self._like = batch[0, :0]
        self._take(self._passage.push(batch[0]))

    def finish(self) -> None:
        """Say that no more frames will come."""
        if not self._finished and (rest := self._passage.finish(self._like)) is not None:
            self._take(rest)
        self._finished = True

    def _take(self, mel: Tensor) -> None:
        """Take frames (n_mels, frames) of the model."""
        if mel.shape[1]:
            self._waiting.append(mel[None])
            self._pushed += mel.shape[1]

    def next(self) -> Any:
        """Compute and return the next chunk x (T,), float32, of the kind that the mel is; empty if not `ready`."""
        frames = self.ready
        if frames == 0:
            return self._as_pushed(torch.zeros(0))
        with torch.inference_mode():  # spares each operation a part of its overhead
            self._feed(frames)
            x = self._passage.place(self._pipeline.advance(frames)[0, 0])
        late = self._finished and self._late_chunk_frames > self._chunk_frames
        longest, growth = (self._late_chunk_frames, self._late_growth) if late else (self._chunk_frames, GROWTH)
        self._next_frames = min(growth * self._next_frames, longest)
        return self._as_pushed(x.clone())  # outside of that mode, so that gradients may begin with it

    def _feed(self, frames: int) -> None:
        """Hand over as much of the mel as so many frames need."""
        pipeline, pieces, needed = self._pipeline, [], 0
        missing = pipeline.frames + frames + self.lookahead - pipeline.mel_frames
        while self._waiting and needed < missing:
            pieces.append(self._waiting.popleft())
            needed += pieces[-1].shape[2]
        if pieces:
            pipeline.feed(torch.cat(pieces, dim=2))
        if self._finished and not self._waiting and pipeline.total is None:
            pipeline.finish()

    def _as_pushed(self, x: Tensor) -> Any:
        return x.cpu().numpy() if self._device is None else x.to(self._device)


def drained(session: StreamSession, pieces: Iterable[Any]) -> Iterator[Any]:
    """Yield the audio of a session while and after it is given more pieces of its mel."""
    for piece in pieces:
        session.push(piece[:, None] if isinstance(piece, (Tensor, np.ndarray)) and piece.ndim == 1 else piece)
        while session.ready:
            yield session.next()
    session.finish()
    while not session.done:
        yield session.next()
