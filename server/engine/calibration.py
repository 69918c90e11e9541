"""Measures what runs cost on a device, and what is gained by running several mels together."""

from __future__ import annotations

import logging
import time
from bisect import bisect_left
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np

from vocoder.sampling import Utterance
from vocoder.synthesis.synthesizer import Synthesizer

__all__ = ["Calibration", "Costs", "Point", "calibrate"]

logger = logging.getLogger(__name__)

LENGTHS = tuple(2**power for power in range(5, 16))  # frames of the measured runs
LONGEST = LENGTHS[-1]
ITEM_FRAMES = 64  # per mel of a measured run; more in runs of over MAX_ITEMS mels
MAX_ITEMS = 32
REPEATS = 3
LEAST_SAVING = 0.05  # share of the time that a shared run must save over two separate ones


@dataclass(frozen=True)
class Point:
    """Seconds for a number of frames, as one mel and as several in one run."""

    frames: int
    alone: float
    together: float


@dataclass(frozen=True)
class Costs:
    """The costs of runs, measured at geometric lengths and interpolated between them."""

    points: tuple[Point, ...] = ()

    @property
    def max_frames(self) -> int:
        """Frames of the longest measured run; shared runs are never longer."""
        return self.points[-1].frames if self.points else 0

    @property
    def frames_per_second(self) -> float:
        """The best speed of all runs; 0 if nothing was measured."""
        return max((point.frames / min(point.alone, point.together) for point in self.points), default=0.0)

    def alone(self, frames: int) -> float:
        """Return the seconds of one mel."""
        return self._between(frames, [point.alone for point in self.points])

    def together(self, frames: int) -> float:
        """Return the seconds of several mels in one run."""
        return self._between(frames, [point.together for point in self.points])

    def worth_joining(self, before: float, run_frames: int, frames: int) -> bool:
        """Whether a mel of `frames` should join a run of `before` seconds, which has run_frames with it."""
        if run_frames > self.max_frames:
            return False
        return self.together(run_frames) <= (1.0 - LEAST_SAVING) * (before + self.alone(frames))

    def _between(self, frames: int, seconds: Sequence[float]) -> float:
        lengths = [point.frames for point in self.points]
        right = bisect_left(lengths, frames)
        if right == 0:
            return seconds[0]
        if right == len(lengths):
            return seconds[-1] * frames / lengths[-1]
        share = (frames - lengths[right - 1]) / (lengths[right] - lengths[right - 1])
        return seconds[right - 1] + share * (seconds[right] - seconds[right - 1])


Calibration = Callable[[Synthesizer, float, float], Generator[None, None, Costs]]
"""from a synthesizer, the value of silence and the frames per second of a short run to the costs, run by run"""


def calibrate(
    synthesizer: Synthesizer, silence: float, frames_per_second: float, seconds: float
) -> Generator[None, None, Costs]:
    """Time runs of growing length until sharing a run saves nothing more, and return their costs.

    It yields after each run, so that other models can use the device. All runs together take at most `seconds`. A model
    that
    takes one mel at a time, or is too slow for the first two runs, is not timed.
    """
    if not hasattr(synthesizer, "synthesize_many") or 2 * LENGTHS[0] > seconds * frames_per_second:
        return Costs()
    measurement = _Measurement(synthesizer, silence, seconds)
    points: list[Point] = []
    for frames in LENGTHS:
        if points and measurement.left < 2.0 * (points[-1].alone + points[-1].together):  # one run of each
            break
        points.append((yield from measurement.point(frames)))
        if len(points) > 2:
            half, whole = points[-2:]
            if whole.together > (1.0 - LEAST_SAVING) * 2.0 * min(half.together, half.alone):
                break  # two halves cost no more
    costs = Costs(tuple(points))
    told = (synthesizer.name, costs.max_frames, costs.frames_per_second)
    logger.info("%s: runs of up to %d frames, at best %.0f frames per second", *told)
    return costs


class _Measurement:
    """Times runs of one model within a budget of seconds."""

    def __init__(self, synthesizer: Synthesizer, silence: float, seconds: float) -> None:
        self.left = seconds
        self._synthesizer = synthesizer
        self._mel = np.full((synthesizer.mel_config.n_mels, LONGEST), silence, np.float32)

    def point(self, frames: int) -> Generator[None, None, Point]:
        """Time a number of frames, as one mel and as several."""
        model, run_frames = self._synthesizer, self._synthesizer.run_frames
        items = min(MAX_ITEMS, max(2, frames // ITEM_FRAMES))
        each = max(1, (2 * frames - run_frames([frames // items] * items)) // items)  # leaves room for the gaps
        utterances = [Utterance(self._mel[:, :each], seed=item) for item in range(items)]
        alone = yield from self._quickest(lambda: model.synthesize(self._mel[:, :frames], seed=0))
        together = yield from self._quickest(lambda: model.synthesize_many(utterances))
        return Point(frames, alone, together * frames / run_frames([each] * items))

    def _quickest(self, run: Callable[[], object]) -> Generator[None, None, float]:
        """Return the shortest time of a few runs, since disturbances only lengthen a run."""
        seconds: list[float] = []
        while len(seconds) < REPEATS and not (seconds and self.left <= 0.0):
            started = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - started)
            self.left -= seconds[-1]
            yield
        return min(seconds)
