"""Synthesize one utterance while its mel is still arriving."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vocoder.admission import ENOUGH_FRAMES, Admitted, StreamAdmission, check_single
from vocoder.guard.automatic import UnsureError
from vocoder.guard.verdict import Verdict
from vocoder.mel.sharpening import Sharpening
from vocoder.mel.values import MelError, finite_values
from vocoder.models.base import Vocoder
from vocoder.sampling import whole_number
from vocoder.stages import Pipeline, inference

SLOW_CHUNK_FRAMES, CHUNK_FRAMES = 64, 128
"""the most frames that a chunk waits for, of autoregressive and parallel models; context would dominate shorter ones"""
LONG_CHUNK_FRAMES = 1024
"""the longest chunk of a parallel model when its frames are already there: long chunks take less time per frame"""
GROWTH, QUICK_GROWTH = 8, 24
"""the most that a chunk may multiply the frames done so far; the second is for models with one, fast step per frame"""
FIRST_CHUNK_FRAMES, OPENING_FRAMES = 8, 16
"""frames of the first chunk, about 0.1 s; OPENING_FRAMES if available. Longer chunks end at multiples of the latter"""
LEAST_CHUNK_FRAMES = 4
"""the fewest frames that a chunk waits for, even if playback may pause meanwhile: shorter chunks cost too much"""
PROMPT = 0.25
"""frames that arrive within this share of their duration are waited for: shorter chunks would only cost more"""
LAST = 0.25  # share by which a chunk may be extended to include the rest of the mel


class ChunkSizes:
    """Chunk lengths of a stream, in frames: the first is short, and no chunk waits for more than all before it held.

    `first` and `usual` are the most frames that the first chunk and later chunks wait for, by default the model's;
    `opening` and `most` are their lengths if the mel is already there, where a chunk multiplies the frames done by at
    most `growth`. A `paced` chunk waits for at most twice the audio that the listener has left. Raises a ValueError if
    one of them is not a whole number of at least 1.
    """

    def __init__(self, model: Vocoder, usual: int | None = None, first: int | None = None) -> None:
        for name, value in (("chunk_frames", usual), ("first_chunk_frames", first)):
            if value is not None:
                whole_number(name, value, 2**31 - 1, least=1)
        self.paced = usual is None
        flexible = self.paced and not model.sequential
        self.growth = QUICK_GROWTH if model.steps_per_frame == 1 else GROWTH
        self.usual = (SLOW_CHUNK_FRAMES if model.sequential else CHUNK_FRAMES) if usual is None else usual
        self.first = min(FIRST_CHUNK_FRAMES, self.usual) if first is None else first
        self.opening = OPENING_FRAMES if flexible and first is None else self.first
        self.most = LONG_CHUNK_FRAMES if flexible else self.usual

    def of_next(self, done: int, there: int, ended: bool, reach: int | None = None, ahead: float = 1e9) -> int:
        """Return the length of the next chunk, after `done` frames; 0 if it has to wait.

        `there` frames could be computed now; `ended` says that no more will come. `reach` replaces the limit on growth:
        a chunk takes up to that many frames. `ahead` frames of audio are still to be heard.
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
        whole = frames - (done + frames) % OPENING_FRAMES  # keeps most chains of corrections whole
        return 0 if there < wanted else whole if whole >= wanted else frames


class Playback:
    """Models a listener who plays audio as soon as it arrives and pauses only where synthesis is too slow.

    Time that the server spends waiting for its client, to take audio or to send more of the mel, is no pause.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.late = 0.0  # seconds of pause before the last chunk
        self.dry_seconds = 0.0  # seconds of all pauses
        self._seconds = 0.0  # audio delivered so far
        self._heard = -math.inf  # when playback of it ends
        self._began = math.inf  # when work on the next chunk began

    @property
    def ahead(self) -> float:
        """Seconds of audio that are still to be heard."""
        return max(0.0, self._heard - self.clock())

    def work(self) -> None:
        """Record that work on the next chunk begins, unless it has begun."""
        self.late, self._began = 0.0, min(self._began, self.clock())

    def deliver(self, seconds: float) -> None:
        """Record that `seconds` of audio have been delivered in total."""
        now = self.clock()
        self.late = max(0.0, now - max(self._heard, self._began)) if self._seconds else 0.0
        self.dry_seconds += self.late
        self._heard = max(self._heard, now) + seconds - self._seconds
        self._seconds, self._began = seconds, math.inf


class StreamSession:
    """Takes the frames of one mel as they arrive and returns audio as soon as the frames it depends on are there.

    Chunks grow with the frames available, while the audio that the listener has left covers the wait. Concatenated,
    they equal the output of `Synthesizer.synthesize`. `push` computes no audio. Several threads may call a session,
    one at a time.
    """

    def __init__(
        self, pipeline: Pipeline, sharpening: Sharpening, admission: StreamAdmission, sizes: ChunkSizes
    ) -> None:
        self.pipeline, self._sharpening = pipeline, sharpening
        self._admission, self._sizes = admission, sizes
        self.lookahead = pipeline.lookahead
        """frames after a chunk, in the model's mel config, that must be there before it is computed"""
        self.reach: int | None = None
        """the longest next chunk, set by a caller that knows how much audio the listener has left"""
        self.playback = Playback()
        self.patient = False
        """whether chunks wait for their frames even if playback may pause, because frames arrive fast"""
        self._frame_seconds = float(admission.path.target.frame_seconds)
        self._device: torch.device | None = None  # of the tensors that are pushed; None for arrays

    @property
    def ready(self) -> int:
        """Frames of audio that `next` would return now; 0 if it needs more of the mel."""
        done, there, ended = self.frames, self.pipeline.mel_frames, self.pipeline.total is not None
        ahead = 1e9 if self.patient else self.playback.ahead / self._frame_seconds
        return self._sizes.of_next(done, there - done - (0 if ended else self.lookahead), ended, self.reach, ahead)

    @property
    def frames(self) -> int:
        """Frames of audio returned so far."""
        return self.pipeline.frames

    @property
    def seconds(self) -> float:
        """Duration of the mel received so far, in seconds."""
        return float(self._admission.frames * self._admission.path.source.frame_seconds)

    @property
    def done(self) -> bool:
        """Whether the mel has ended and all of its audio has been returned."""
        return self.frames == self.pipeline.total

    @property
    def sharpened(self) -> float:
        """Strength at which the latest frame was sharpened, 0 to 1."""
        return self._sharpening.reached

    def push(self, mel: Any) -> None:
        """Take the next frames of the mel, a tensor or array (n_mels, frames), or a whole admitted mel.

        Raises a MelError if the frames do not fit their mel config, and a ValueError if the mel has already ended.
        """
        if self.pipeline.total is not None:
            raise ValueError("this stream's mel has ended; it takes no more frames")
        self._feed(self._admission.take(mel))
        given = mel.given if isinstance(mel, Admitted) else mel
        self._device = given.device if isinstance(given, Tensor) else None

    def judge(self, last: bool = False) -> Verdict | None:
        """Return the guard's verdict on the start of the mel, once; see `StreamAdmission.judge`."""
        return self._admission.judge(last)

    def finish(self) -> None:
        """End the mel: no more frames will come."""
        if self.pipeline.total is None:
            self._feed(self._admission.finish())
            self.pipeline.finish()

    def _feed(self, mel: Tensor) -> None:
        """Feed frames (n_mels, frames), in the model's mel config, to the pipeline."""
        if mel.shape[1]:
            self.pipeline.feed(self._sharpening.push(mel[None]))

    def next(self, delivered: bool = True) -> Any:
        """Compute and return the next chunk x (T,), float32, a tensor or array as the mel; empty if not `ready`.

        Pass `delivered=False` to report the delivery to `playback` later.
        """
        if (frames := self.ready) == 0:
            return self._as_pushed(torch.zeros(0, dtype=torch.float32, device="cpu"))
        with inference(self._admission.device.type):
            x = self._admission.placement.place(self.pipeline.advance(frames)[0, 0])
        if delivered:
            self.playback.deliver(self.frames * self._frame_seconds)
        return self._as_pushed(x.clone())  # an ordinary tensor, which autograd accepts

    def _as_pushed(self, x: Tensor) -> Any:
        return x.cpu().numpy() if self._device is None else x.to(self._device)


def stream_audio(
    session: StreamSession, pieces: Iterable[Any], heed: Callable[[Verdict | None], None]
) -> Iterator[Any]:
    """Push the pieces of a mel to a session and yield its audio as it becomes ready; `heed` receives the verdicts.

    A piece is one frame (n_mels,), several frames (n_mels, frames), or a whole admitted mel. Raises a MelError if there
    are no frames.
    """
    waited, since = 0.0, session.playback.clock()
    for piece in _in_columns(pieces):
        waited += session.playback.clock() - since
        session.push(piece)
        heed(session.judge())
        session.patient = waited < PROMPT * session.seconds
        while session.ready and not isinstance(piece, Admitted):  # a whole mel can be finished first
            yield session.next()
        since = session.playback.clock()
    if not session.seconds:
        raise MelError("the mel has no frames")
    heed(session.judge(last=True))
    session.finish()
    while not session.done:
        yield session.next()


def read_start(pieces: Iterable[Any]) -> tuple[Tensor, Iterator[Any]]:
    """Read enough pieces, (n_mels,) or (n_mels, frames), to recognise a mel; return its start and all its pieces.

    The start is (n_mels, frames). Raises an UnsureError if there are no pieces, a MelError if one has another shape.
    """
    pieces, kept, frames = iter(pieces), list[Any](), 0
    for piece in _in_columns(pieces):
        values = finite_values(piece, frames)
        check_single(values.ndim)
        kept.append(values if isinstance(piece, Tensor) else values.numpy())
        if (frames := frames + values.shape[1]) >= ENOUGH_FRAMES:
            break
    if not kept:
        raise UnsureError("preset=auto needs frames to recognise, and this mel has none")
    return torch.cat([torch.as_tensor(piece).cpu() for piece in kept], dim=1), chain(kept, pieces)


def _in_columns(pieces: Iterable[Any]) -> Iterator[Any]:
    """Yield pieces as columns (n_mels, frames), and without those that have no frames."""
    for piece in pieces:
        shape = tuple(piece.shape) if isinstance(piece, (Tensor, np.ndarray)) else ()
        if len(shape) != 2 or shape[1]:
            yield piece[:, None] if len(shape) == 1 else piece
