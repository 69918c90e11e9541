"""Stages that make audio from a mel that is still arriving."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vocoder.stages import MEL, NOISE, Span, Stage


class Track:
    """The part of a signal (B, C, frames * steps) that a stream still needs: it grows at its end and loses its start.

    Frames are counted from the start of the stream. What is kept lies in memory as (B, frames * steps, C), as the
    couplings read it.
    """

    def __init__(self) -> None:
        self.first = 0
        """number of the first frame that is kept"""
        self.end = 0
        """number of the frame that will come next"""
        self._kept: Tensor | None = None
        self._steps = 1

    def append(self, piece: Tensor, frames: int) -> None:
        """Add the next frames, (B, C, frames * steps) with one number of steps for the whole stream."""
        self._steps = piece.shape[2] // frames
        piece = piece.transpose(1, 2)
        self._kept = piece if self._kept is None else torch.cat([self._kept, piece], dim=1)
        self.end += frames

    def window(self, first: int, last: int) -> Tensor:
        """Return the frames from `first` to before `last`; raises a ValueError if some are not kept."""
        if self._kept is None or not self.first <= first <= last <= self.end:
            raise ValueError(f"frames {first} to {last} are not among those kept, {self.first} to {self.end}")
        start, steps = self.first, self._steps
        return self._kept[:, (first - start) * steps : (last - start) * steps].transpose(1, 2)

    def forget(self, before: int) -> None:
        """Let go of the frames before number `before`."""
        if self._kept is not None and before > self.first:
            before = min(before, self.end)
            kept = self._kept[:, (before - self.first) * self._steps :]
            # A view would keep all that it was cut from: megabytes for each stream that waits for its reader.
            self._kept = kept.clone() if 2 * kept.shape[1] <= self._kept.shape[1] else kept
            self.first = before


class Pipeline:
    """Compute a signal from first to last out of a mel that grows.

    Every stage remembers its inputs as far back as it looks, so that a frame is computed once by each stage, save for
    the stage's own context: the contexts of all stages together only decide how long the first frame has to wait.

    Each stage comes after those whose signals it sees; the last makes the result. `MEL` and `NOISE` are given, the
    latter by `draw(start, frames)`: white noise (B, C, steps) of so many frames from number `start` on.
    """

    def __init__(self, stages: Sequence[Stage], draw: Callable[[int, int], Tensor]) -> None:
        noise = Stage(NOISE, (), lambda span: draw(span.start, span.stop - span.start))
        self._stages = (noise, *stages)
        self._ahead = _frames_ahead(self._stages)
        self._tracks = {name: Track() for name in self._ahead}
        self.lookahead = self._ahead[MEL]
        """frames of the mel after a frame that must have come before it can be computed"""
        self.frames = 0
        """frames of the result so far"""
        self.total: int | None = None
        """frames of the mel, once its end is known"""

    @property
    def mel_frames(self) -> int:
        """Frames of the mel so far."""
        return self._tracks[MEL].end

    def feed(self, mel: Tensor) -> None:
        """Append frames of the mel, (B, n_mels, frames)."""
        self._tracks[MEL].append(mel, mel.shape[2])

    def finish(self) -> None:
        """Say that the mel has ended."""
        self.total = self.mel_frames

    def advance(self, frames: int) -> Tensor:
        """Return the next frames of the result, (B, C, steps); raises a ValueError if the mel is too short."""
        goal = self.frames + frames
        for stage in self._stages:
            self._run(stage, self._limit(goal + self._ahead[stage.output]))
        made = self._tracks[self._stages[-1].output].window(self.frames, goal)
        self.frames = goal
        self._forget()
        return made

    def _limit(self, frame: int) -> int:
        return frame if self.total is None else min(frame, self.total)

    def _run(self, stage: Stage, stop: int) -> None:
        output = self._tracks[stage.output]
        if stop <= output.end:
            return
        span = Span(stage.start_of_window(output.end), output.end, stop, self._limit(stop + stage.after))
        windows = [self._tracks[name].window(span.first, span.last) for name in stage.inputs]
        output.append(stage.made(span, *windows)[0], stop - output.end)

    def _forget(self) -> None:
        needed = {self._stages[-1].output: self.frames}
        for stage in self._stages:
            first = stage.start_of_window(self._tracks[stage.output].end)
            for name in stage.inputs:
                needed[name] = min(needed.get(name, first), first)
        for name, track in self._tracks.items():
            track.forget(needed.get(name, track.end))


def _frames_ahead(stages: Sequence[Stage]) -> dict[str, int]:
    """Return for each signal how many of its frames after a frame of the result that frame depends on."""
    ahead = {MEL: 0}
    for stage in reversed(stages):
        own = ahead.setdefault(stage.output, 0)
        for name in stage.inputs:
            ahead[name] = max(ahead.get(name, 0), own + stage.after)
    return ahead
