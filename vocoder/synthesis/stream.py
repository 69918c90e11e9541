"""One utterance whose mel is still arriving."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vocoder.admission import ENOUGH_FRAMES, Admitted, StreamAdmission
from vocoder.guard.automatic import UnsureError
from vocoder.guard.verdict import Verdict
from vocoder.mel.sharpening import Sharpening
from vocoder.mel.values import MelError
from vocoder.models.base import Vocoder
from vocoder.stages import Pipeline

SLOW_CHUNK_FRAMES, CHUNK_FRAMES = 64, 128
"""frames of the mel that a chunk waits for at most, of models that go sample by sample, and of others: in shorter ones
each stage computes more of its context than of what is wanted"""
LONG_CHUNK_FRAMES = 1024
"""frames of a chunk whose mel is there anyway, for parallel models: longer runs take less time by the frame"""
GROWTH, QUICK_GROWTH = 8, 24
"""how many times as far as the chunks before it a chunk reaches at most; the latter for models that take one step a
frame, and so are dozens of times faster than real time"""
FIRST_CHUNK_FRAMES, OPENING_FRAMES = 8, 16
"""frames of the first chunk, a tenth of a second; the latter if they are there, and longer chunks by so many"""
LEAST_CHUNK_FRAMES = 4
"""frames that a chunk waits for at least, though the listener may run dry meanwhile: shorter ones cost too much"""
PROMPT = 0.25
"""part of their duration in which frames come that are worth a wait, since shorter chunks would only cost more"""
LAST = 0.25
"""how much longer a chunk may be to leave nothing for another"""


@dataclass(frozen=True)
class ChunkSizes:
    """Frames of the chunks of a stream: the first is short, and each waits for no more frames than all before it had.

    `first` and `usual` are what the first chunk and the others wait for at most, `opening` and `most` what they take if
    the mel is there already, at most `growth` times as far as the chunks before. A `paced` chunk waits for no more
    than twice what the listener still has to hear. Raises a ValueError for empty chunks.
    """

    first: int
    opening: int
    usual: int
    most: int
    growth: int = GROWTH
    paced: bool = False

    def __post_init__(self) -> None:
        for name, value in (("chunk_frames", self.usual), ("first_chunk_frames", self.first)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")

    @classmethod
    def of(cls, model: Vocoder, usual: int | None = None, first: int | None = None) -> "ChunkSizes":
        """Return the sizes for a model, as far as they are not given."""
        paced = usual is None
        flexible = paced and not model.sequential
        growth = QUICK_GROWTH if model.steps_per_frame == 1 else GROWTH
        if usual is None:
            usual = SLOW_CHUNK_FRAMES if model.sequential else CHUNK_FRAMES
        opening = OPENING_FRAMES if flexible and first is None else first
        first = min(FIRST_CHUNK_FRAMES, usual) if first is None else first
        return cls(first, opening or first, usual, LONG_CHUNK_FRAMES if flexible else usual, growth, paced)

    def of_next(self, done: int, there: int, ended: bool, reach: int | None = None, ahead: float = 1e9) -> int:
        """Return the frames of the next chunk, after `done` frames; 0 if it has to wait.

        `there` frames could be computed now; `ended` says whether there will be no more. With a `reach` a chunk takes
        as many frames if they are there, whatever it would have grown to. The listener has not heard `ahead` frames.
        """
        wanted = min(done, self.usual) if done else self.first
        if done and self.paced:
            wanted = min(wanted, max(math.ceil(2 * ahead), LEAST_CHUNK_FRAMES))
        longest = max(self.opening, reach or 0)
        if done:
            longest = (self.growth - 1) * done if reach is None else reach
        frames = min(there, max(wanted, min(longest, self.most) if self.most > self.usual else 0))
        if ended and there <= max(frames, min((1 + LAST) * frames, self.most)):
            return there
        whole = frames - (done + frames) % OPENING_FRAMES  # so that few chains of corrections are cut
        return 0 if there < wanted else whole if whole >= wanted else frames


class Playback:
    """A listener who plays audio as soon as it is there, and pauses only where the work on the next takes too long.

    While a server waits, for its client to take audio or to send more of the mel, the listener does not run dry.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.late = 0.0
        """seconds of the pause before the last audio"""
        self.dry_seconds = 0.0
        """of all pauses"""
        self._seconds = 0.0  # of audio so far
        self._heard = -math.inf  # when all of it will have been heard
        self._began = math.inf  # when the work on the next audio began

    @property
    def ahead(self) -> float:
        """Seconds of audio that are still to be heard."""
        return max(0.0, self._heard - self.clock())

    def work(self) -> None:
        """Mark that the work on the next audio begins, unless it is under way."""
        self.late, self._began = 0.0, min(self._began, self.clock())

    def deliver(self, seconds: float) -> None:
        """Mark that so many seconds of audio are there in all."""
        now = self.clock()
        self.late = max(0.0, now - max(self._heard, self._began)) if self._seconds else 0.0
        self.dry_seconds += self.late
        self._heard = max(self._heard, now) + seconds - self._seconds
        self._seconds, self._began = seconds, math.inf


class StreamSession:
    """Frames of one mel go in as they come, audio comes out as soon as all that it depends on is there.

    What a listener still has to hear covers the wait for a chunk, which is longer where more of the mel is there. Put
    together, chunks are what `Synthesizer.synthesize` makes of all frames. Pushing computes nothing. The calls may come
    from several threads, one at a time.
    """

    def __init__(
        self, pipeline: Pipeline, sharpening: Sharpening, admission: StreamAdmission, sizes: ChunkSizes
    ) -> None:
        self._pipeline = pipeline
        self._sharpening = sharpening
        self._admission = admission
        self._sizes = sizes
        self.lookahead = pipeline.lookahead
        """frames of the model after a chunk that must be there before it is computed, unless the mel has ended"""
        self.reach: int | None = None
        """frames of the next chunk, as far as they are there, from whoever knows how far ahead the listener is"""
        self.playback = Playback()
        """the listener"""
        self.patient = False
        """whether chunks wait for their frames though the listener may run dry, because they come faster than that"""
        self._frame_seconds = float(admission.path.target.frame_seconds)
        self._device: torch.device | None = None
        """of the tensors that are pushed; none for arrays"""

    @property
    def ready(self) -> int:
        """Frames of audio that `next` would return now; 0 if it has to wait for more of the mel."""
        done, there, ended = self.frames, self._pipeline.mel_frames, self._pipeline.total is not None
        ahead = 1e9 if self.patient else self.playback.ahead / self._frame_seconds
        return self._sizes.of_next(done, there - done - (0 if ended else self.lookahead), ended, self.reach, ahead)

    @property
    def frames(self) -> int:
        """Frames of audio so far."""
        return self._pipeline.frames

    @property
    def seconds(self) -> float:
        """Duration of the mel so far, as it was given."""
        return float(self._admission.frames * self._admission.path.source.frame_seconds)

    @property
    def done(self) -> bool:
        """Whether the mel has ended and all of its audio has been returned."""
        return self.frames == self._pipeline.total

    @property
    def sharpened(self) -> float:
        """How far the last frame so far is sharpened, 0 to 1."""
        return self._sharpening.reached

    def push(self, mel: Any) -> None:
        """Take the next frames of the mel, (n_mels, frames), tensor or array; or the whole of one that is admitted.

        Raises a MelError if they do not fit their mel config, and a ValueError if the mel has ended already.
        """
        if self._pipeline.total is not None:
            raise ValueError("the mel of this stream has ended; it takes no more frames")
        self._feed(self._admission.take(mel))
        given = mel.given if isinstance(mel, Admitted) else mel
        self._device = given.device if isinstance(given, Tensor) else None

    def judge(self, last: bool = False) -> Verdict | None:
        """Return the guard's verdict on the start of the mel, once; see `StreamAdmission.judge`."""
        return self._admission.judge(last)

    def finish(self) -> None:
        """Say that no more frames will come."""
        if self._pipeline.total is None:
            self._feed(self._admission.finish())
            self._pipeline.finish()

    def _feed(self, mel: Tensor) -> None:
        """Hand over frames (n_mels, frames) of the model."""
        if mel.shape[1]:
            self._pipeline.feed(self._sharpening.push(mel[None]))

    def next(self, delivered: bool = True) -> Any:
        """Compute and return the next chunk x (T,), float32, of the kind that the mel is; empty if not `ready`.

        It counts as `delivered` to the listener, unless the caller says so later.
        """
        frames = self.ready
        if frames == 0:
            return self._as_pushed(torch.zeros(0))
        with torch.inference_mode():  # spares each operation a part of its overhead
            x = self._admission.placement.place(self._pipeline.advance(frames)[0, 0])
        if delivered:
            self.playback.deliver(self.frames * self._frame_seconds)
        return self._as_pushed(x.clone())  # outside of that mode, so that gradients may begin with it

    def _as_pushed(self, x: Tensor) -> Any:
        return x.cpu().numpy() if self._device is None else x.to(self._device)


def drained(session: StreamSession, pieces: Iterable[Any], heed: Callable[[Verdict | None], None]) -> Iterator[Any]:
    """Yield the audio of a session while and after it is given the pieces of its mel; `heed` is told the verdicts.

    Pieces are frames (n_mels,), several (n_mels, frames), or the whole of a mel that is admitted. Raises a MelError if
    there is none.
    """
    waited, since = 0.0, session.playback.clock()
    for piece in pieces:
        waited += session.playback.clock() - since
        session.push(piece[:, None] if isinstance(piece, (Tensor, np.ndarray)) and piece.ndim == 1 else piece)
        heed(session.judge())
        session.patient = waited < PROMPT * session.seconds
        while session.ready and not isinstance(piece, Admitted):  # of a whole mel, the end is known
            yield session.next()
        since = session.playback.clock()
    if not session.seconds:
        raise MelError("the mel has no frames")
    heed(session.judge(last=True))
    session.finish()
    while not session.done:
        yield session.next()


def begun(pieces: Iterable[Any]) -> tuple[Tensor, Iterator[Any]]:
    """Return the start (n_mels, frames) of a mel in pieces (n_mels,) or (n_mels, frames), and all its pieces.

    Raises an UnsureError if there is no piece.
    """
    pieces, kept, shaped = iter(pieces), list[Any](), list[Tensor]()
    for piece in pieces:
        kept.append(piece)
        values = torch.as_tensor(piece, dtype=torch.float32).cpu()
        shaped.append(values[:, None] if values.ndim == 1 else values)
        if sum(part.shape[1] for part in shaped) >= ENOUGH_FRAMES:
            break
    if not shaped:
        raise UnsureError("preset=auto needs a mel, and this one has no frames")
    return torch.cat(shaped, dim=1), chain(kept, pieces)
