"""One step of what a model does to a signal, and how far it sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

__all__ = ["Compute", "Span", "Stage", "frames_of", "windowed"]


@dataclass(frozen=True)
class Span:
    """The frames of the windows, and among them those that are wanted; all counted from the start of the stream."""

    first: int
    start: int
    stop: int
    last: int


Compute = Callable[..., Tensor]
"""from a span and the windows of the inputs (B, C, steps) to the wanted frames (B, C, steps)"""


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


def windowed(function: Callable[..., Tensor]) -> Compute:
    """Return the computation of a stage without memory: `function` of the windows, cut to the wanted frames."""

    def compute(span: Span, *windows: Tensor) -> Tensor:
        return frames_of(function(*windows), span)

    return compute


def frames_of(x: Tensor, span: Span) -> Tensor:
    """Return the wanted frames of a signal (B, C, steps) over the windows."""
    steps = x.shape[2] // (span.last - span.first)
    return x[:, :, (span.start - span.first) * steps : (span.stop - span.first) * steps]
