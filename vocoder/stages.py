"""The stages of a model: which signal each computes from which others, and its context.

A model lists its stages once. `run` computes whole utterances with them, from noise to audio; a `Pipeline` runs the
same stages piece by piece. Several stages use `frames_of`, `silenced` and `overlap_add`.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

MEL, NOISE, CONDITION, Z = "mel", "noise", "condition", "z"
"""signals of every model: the mel, white noise, the networks' condition, and the latent signal that is decoded"""
TARGET = "target"  # the mel that the audio of some models is corrected to, if not the given one


_DEFAULTS = threading.RLock()


@contextmanager
def torch_defaults() -> Iterator[None]:
    """Make tensors as float32 on the CPU if nothing else is said, whatever defaults the program has chosen."""
    with _DEFAULTS, torch.device("cpu"):
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(before)


@contextmanager
def inference(device_type: str = "cpu") -> Iterator[None]:
    """Compute without gradients and their overhead, in the model's own precision even under autocast."""
    usual = nullcontext() if torch.get_default_device().type == "cpu" else torch.device("cpu")
    with torch.inference_mode(), torch.autocast(device_type, enabled=False), usual:
        yield


class Span(NamedTuple):
    """Frames `first` to `last` of the windows, and the wanted frames `start` to `stop`, counted in the utterance."""

    first: int
    start: int
    stop: int
    last: int


Compute = Callable[..., Tensor | tuple[Tensor, Tensor]]
"""maps the windows of the inputs (B, C, steps) to the output (B, C, steps) over the windows

A step of a flow also returns log |det d output / d input|, (B,), or values (B, ...) that sum to it; over whole
utterances they add up to the log-determinant.
"""


class Stage(NamedTuple):
    """Computes the frames of one signal from those of others.

    Windows extend beyond the wanted frames by the context, so that padding has no effect, except at the ends of the
    utterance, where windows end and networks pad as usual.
    """

    output: str  # name of the computed signal
    inputs: tuple[str, ...]  # names of its input signals
    compute: Compute
    before: int = 0  # context in frames before a wanted frame
    after: int = 0  # context in frames after a wanted frame
    align: int = 1  # windows start at multiples of this many frames
    stateful: bool = False  # whether `compute` is given the span before the windows and returns only the wanted frames

    def start_of_window(self, wanted: int) -> int:
        """Return the first frame of the windows if the first wanted frame is `wanted`."""
        return max(wanted - self.before, 0) // self.align * self.align

    def made(self, span: Span, *windows: Tensor) -> tuple[Tensor, Tensor | None]:
        """Compute the wanted frames (B, C, steps), and their contribution to the log-determinant."""
        made = self.compute(span, *windows) if self.stateful else self.compute(*windows)
        signal, change = made if isinstance(made, tuple) else (made, None)
        return signal if self.stateful else frames_of(signal, span), change


def frames_of(x: Tensor, span: Span) -> Tensor:
    """Cut the wanted frames out of a signal (B, C, steps) that covers the windows."""
    if (span.start, span.stop) == (span.first, span.last):
        return x
    steps = x.shape[2] // (span.last - span.first)
    return x[:, :, (span.start - span.first) * steps : (span.stop - span.first) * steps]


def silenced(x: Tensor, gaps: Tensor | None) -> Tensor:
    """Return x (..., T) with zeros at the indices `gaps` of its last dimension, or unchanged if there are none."""
    return x if gaps is None else x.index_fill(-1, gaps, 0.0)


def overlap_add(frames: Tensor, stride: int) -> Tensor:
    """Overlap and add frames (B, count, size) at distances of `stride`: (B, (count - 1) * stride + size)."""
    batch, count, size = frames.shape
    overlap = size // stride
    pieces = frames.reshape(batch, count, overlap, stride)
    total = frames.new_zeros(batch, count + overlap - 1, stride)
    for i in range(overlap):
        total = total + F.pad(pieces[:, :, i], (0, 0, i, overlap - 1 - i))
    return total.flatten(1)


@dataclass(frozen=True)
class Made:
    """A signal (B, C, steps), the contributions of flow steps to its `log_det`, and all given and computed signals."""

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
    """Compute a signal of whole utterances from the given signals (B, C, steps), with only the stages it needs.

    The stages must be new, since some have state, and in the order of computation. `wanted` defaults to the output of
    the last one. Raises a ValueError if a needed signal is not given.
    """
    wanted = stages[-1].output if wanted is None else wanted
    needed, chosen = {wanted}, []
    for stage in reversed(stages):
        if stage.output in needed and stage.output not in given:
            needed.remove(stage.output)
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
    """The part of a signal (B, C, frames * steps) that a stream still needs: it grows at the end and loses its start.

    Frames are counted from the start of the stream. Memory is laid out as (B, frames * steps, C), as couplings read it.
    """

    def __init__(self) -> None:
        self.first = 0  # index of the first frame that is kept
        self.end = 0  # index of the next frame to append
        self._kept: Tensor | None = None
        self._steps = 1

    def append(self, piece: Tensor, frames: int) -> None:
        """Append the next frames (B, C, frames * steps); `steps` is the same for the whole stream."""
        self._steps = piece.shape[2] // frames
        piece = piece.transpose(1, 2)
        self._kept = piece if self._kept is None else torch.cat([self._kept, piece], dim=1)
        self.end += frames

    def window(self, first: int, last: int) -> Tensor:
        """Return the frames from `first` up to `last`, exclusive; raises a ValueError if some are not kept."""
        if self._kept is None or not self.first <= first <= last <= self.end:
            raise ValueError(f"frames {first} to {last} are not among those kept, {self.first} to {self.end}")
        start, steps = self.first, self._steps
        return self._kept[:, (first - start) * steps : (last - start) * steps].transpose(1, 2)

    def forget(self, before: int) -> None:
        """Drop the frames before `before`."""
        if self._kept is not None and before > self.first:
            before = min(before, self.end)
            kept = self._kept[:, (before - self.first) * self._steps :]
            # A view would keep the whole signal alive: megabytes for each stream that waits for its reader.
            self._kept = kept.clone() if 2 * kept.shape[1] <= self._kept.shape[1] else kept
            self.first = before


class Pipeline:
    """Computes a signal from beginning to end while its mel is arriving.

    Every stage keeps its inputs as far back as its context, so that it computes each frame once, apart from its own
    context. The contexts of all stages add up only in the delay of the first frame.

    Stages are in the order of computation, and the last computes the result. `MEL` is fed; `NOISE` comes from
    `draw(start, frames)`: white noise (B, C, steps) for that many frames from `start`.
    """

    def __init__(self, stages: Sequence[Stage], draw: Callable[[int, int], Tensor]) -> None:
        noise = Stage(NOISE, (), lambda span: draw(span.start, span.stop - span.start), stateful=True)
        self.stages = (noise, *stages)
        self._ahead = {MEL: 0}  # signal -> its frames after a frame of the result on which that depends
        for stage in reversed(self.stages):
            own = self._ahead.setdefault(stage.output, 0)
            for name in stage.inputs:
                self._ahead[name] = max(self._ahead.get(name, 0), own + stage.after)
        self._tracks = {name: Track() for name in self._ahead}
        self.lookahead = self._ahead[MEL]
        """frames of the mel after a frame that must have arrived before it can be computed"""
        self.frames = 0  # frames of the result computed so far
        self.total: int | None = None  # frames of the whole mel, once its end is known

    @property
    def mel_frames(self) -> int:
        """Frames of the mel received so far."""
        return self._tracks[MEL].end

    def feed(self, mel: Tensor) -> None:
        """Append frames (B, n_mels, frames) to the mel."""
        self._tracks[MEL].append(mel, mel.shape[2])

    def finish(self) -> None:
        """End the mel."""
        self.total = self.mel_frames

    def advance(self, frames: int) -> Tensor:
        """Compute the next frames (B, C, steps) of the result; raises a ValueError if the mel is too short."""
        if not self.frames and frames == self.total:  # without the bookkeeping of pieces
            self.frames, mel = frames, self._tracks[MEL].window(0, frames)
            self._tracks[MEL].forget(frames)
            return run(self.stages, {MEL: mel}).signal
        goal = self.frames + frames
        for stage in self.stages:
            output, stop = self._tracks[stage.output], self._limit(goal + self._ahead[stage.output])
            if stop > output.end:
                span = Span(stage.start_of_window(output.end), output.end, stop, self._limit(stop + stage.after))
                windows = [self._tracks[name].window(span.first, span.last) for name in stage.inputs]
                output.append(stage.made(span, *windows)[0], stop - output.end)
        made = self._tracks[self.stages[-1].output].window(self.frames, goal)
        self.frames = goal
        needed = {self.stages[-1].output: goal}  # signal -> its first frame that is still needed
        for stage in self.stages:
            first = stage.start_of_window(self._tracks[stage.output].end)
            needed |= {name: min(needed.get(name, first), first) for name in stage.inputs}
        for name, track in self._tracks.items():
            track.forget(needed.get(name, track.end))
        return made

    def _limit(self, frame: int) -> int:
        return frame if self.total is None else min(frame, self.total)
