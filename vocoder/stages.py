"""The stages of a model: what each makes of which signals, and how far it sees.

A model lists its stages once. Run over whole utterances they are its way from noise to audio; a `Pipeline` runs the
same ones piece by piece. `frames_of`, `silenced` and `overlap_add` are what several of them do to a signal.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

MEL, NOISE, CONDITION, Z = "mel", "noise", "condition", "z"
"""signals of every model: the mel, white noise, what networks see of the mel, and what is made of all to be decoded"""
TARGET = "target"
"""the mel that the audio of some models has, where it is not the given one"""


class Span(NamedTuple):
    """The frames of the windows, and among them those that are wanted; all counted from the start of the utterance."""

    first: int
    start: int
    stop: int
    last: int


Compute = Callable[..., Tensor | tuple[Tensor, Tensor]]
"""from a span and the windows of the inputs (B, C, steps) to the wanted frames (B, C, steps)

A step of a flow returns log |det d output / d input| with them, (B,), or the values (B, ...) whose sum it is: over
whole utterances they add up to the log-determinant.
"""


class Stage(NamedTuple):
    """How the frames of one signal come from the frames of others.

    At each end of an utterance, and there alone, the windows end and the network pads as it always does; everywhere
    else they reach beyond the wanted frames by the context, so that no padding is seen.
    """

    output: str
    """name of the signal that it makes"""
    inputs: tuple[str, ...]
    """names of the signals that it sees"""
    compute: Compute
    before: int = 0
    """frames before a wanted one that it depends on"""
    after: int = 0
    """frames after a wanted one that it depends on"""
    align: int = 1
    """the windows start at multiples of so many frames"""

    def start_of_window(self, wanted: int) -> int:
        """Return the first frame of the windows if the first wanted frame is number `wanted`."""
        return max(wanted - self.before, 0) // self.align * self.align

    def made(self, span: Span, *windows: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the wanted frames (B, C, steps), and what the log-determinant gains by them."""
        made = self.compute(span, *windows)
        return made if isinstance(made, tuple) else (made, None)


def windowed(function: Callable[..., Tensor | tuple[Tensor, Tensor]]) -> Compute:
    """Return the computation of a stage without memory: `function` of the windows, cut to the wanted frames."""

    def compute(span: Span, *windows: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        made = function(*windows)
        return (frames_of(made[0], span), made[1]) if isinstance(made, tuple) else frames_of(made, span)

    return compute


def frames_of(x: Tensor, span: Span) -> Tensor:
    """Return the wanted frames of a signal (B, C, steps) over the windows."""
    if (span.start, span.stop) == (span.first, span.last):
        return x
    steps = x.shape[2] // (span.last - span.first)
    return x[:, :, (span.start - span.first) * steps : (span.stop - span.first) * steps]


def silenced(x: Tensor, gaps: Tensor | None) -> Tensor:
    """Return x (..., T) with zeros at the indices `gaps` of its last dimension; as it is where there are none."""
    return x if gaps is None else x.index_fill(-1, gaps, 0.0)


def overlap_add(frames: Tensor, stride: int) -> Tensor:
    """Return the sum of frames (B, count, size) at distances of `stride`: (B, (count - 1) * stride + size)."""
    batch, count, size = frames.shape
    overlap = size // stride
    pieces = frames.reshape(batch, count, overlap, stride)
    total = frames.new_zeros(batch, count + overlap - 1, stride)
    for i in range(overlap):
        total = total + F.pad(pieces[:, :, i], (0, 0, i, overlap - 1 - i))
    return total.flatten(1)


@dataclass(frozen=True)
class Made:
    """A signal (B, C, steps) of whole utterances, and what each step of a flow that led to it adds to `log_det`.

    `signals` holds by name what was computed on the way to it, and what was given.
    """

    signal: Tensor
    changes: tuple[Tensor, ...]
    signals: Mapping[str, Tensor]

    @property
    def log_det(self) -> Tensor:
        """Return log |det d signal / d z|, (B,)."""
        log_det = self.signal.new_zeros(self.signal.shape[0])
        for change in self.changes:
            log_det = log_det + (change if change.dim() == 1 else change.flatten(1).sum(1))
        return log_det


def run(stages: Sequence[Stage], given: Mapping[str, Tensor], wanted: str | None = None) -> Made:
    """Compute a signal of whole utterances by the stages that lead to it from the given signals (B, C, steps).

    The stages are fresh, since some of them remember, and in the order of computation. `wanted` is the signal of the
    last one if left out. Raises a ValueError if it needs a signal that is not given.
    """
    wanted = stages[-1].output if wanted is None else wanted
    needed, chosen = {wanted}, []
    for stage in reversed(stages):
        if stage.output in needed and stage.output not in given:
            needed.update(stage.inputs)
            chosen.append(stage)
    signals, changes = dict(given), []
    frames = given[MEL].shape[2] if MEL in given else 1
    span = Span(0, 0, frames, frames)
    for stage in reversed(chosen):
        if missing := [name for name in stage.inputs if name not in signals]:
            raise ValueError(f"{stage.output!r} needs {' and '.join(missing)}")
        signals[stage.output], change = stage.made(span, *(signals[i] for i in stage.inputs))
        changes += [] if change is None else [change]
    return Made(signals[wanted], tuple(changes), signals)


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
        self._ahead = {MEL: 0}  # frames of each signal, after a frame of the result, that this depends on
        for stage in reversed(self._stages):
            own = self._ahead.setdefault(stage.output, 0)
            for name in stage.inputs:
                self._ahead[name] = max(self._ahead.get(name, 0), own + stage.after)
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
