"""The stages of a model: what each makes of which signals, and how far it sees.

A model lists its stages once. Run over whole utterances they are its way from noise to audio; a `Pipeline` runs the
same ones piece by piece.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

MEL, NOISE, Z = "mel", "noise", "z"
"""signals that every model has: its condition, white noise, and what is made of both for the flow to decode"""
TARGET = "target"
"""the mel that the audio of some models has, where it is not the given one"""


@dataclass(frozen=True)
class Span:
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


@dataclass(frozen=True)
class Stage:
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
            needed |= set(stage.inputs)
            chosen.append(stage)
    signals, changes = dict(given), []
    frames = given[MEL].shape[2] if MEL in given else 1
    for stage in reversed(chosen):
        if missing := [name for name in stage.inputs if name not in signals]:
            raise ValueError(f"{stage.output!r} needs {' and '.join(missing)}")
        signals[stage.output], change = stage.made(Span(0, 0, frames, frames), *(signals[i] for i in stage.inputs))
        changes += [] if change is None else [change]
    return Made(signals[wanted], tuple(changes), signals)
