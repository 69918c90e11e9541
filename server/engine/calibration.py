"""Measure at warm-up what a device gains from running several mels together."""

from __future__ import annotations

import logging
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from server.engine.synthesizer import BatchSynthesizer, Synthesizer
from vocoder.batching import Utterance

__all__ = ["Costs", "Point", "calibrate"]

logger = logging.getLogger(__name__)

LENGTHS = tuple(2**power for power in range(5, 16))  # frames of the runs that are measured
LONGEST = LENGTHS[-1]
ITEM_FRAMES = 64  # of the mels of a measured run; longer in runs of more than MAX_ITEMS
MAX_ITEMS = 32
REPEATS = 3
LEAST_SAVING = 0.05  # of the time of two runs, for which it is worth to make one of them


@dataclass(frozen=True)
class Point:
    """The seconds that so many frames took: as one mel, and as several in one run."""

    frames: int
    alone: float
    together: float


@dataclass(frozen=True)
class Costs:
    """What runs cost on a device, measured at geometric lengths and interpolated between them."""

    points: tuple[Point, ...] = ()

    @property
    def max_frames(self) -> int:
        """The longest run that was measured; none is made longer."""
        return self.points[-1].frames if self.points else 0

    @property
    def frames_per_second(self) -> float:
        """The best pace of all runs; 0 where nothing was measured."""
        return max((point.frames / min(point.alone, point.together) for point in self.points), default=0.0)

    def alone(self, frames: int) -> float:
        """Return the seconds of one mel."""
        return self._between(frames, [point.alone for point in self.points])

    def together(self, frames: int) -> float:
        """Return the seconds of several mels in one run of so many frames."""
        return self._between(frames, [point.together for point in self.points])

    def worth_joining(self, before: float, run_frames: int, frames: int) -> bool:
        """Whether a mel should join a run.

        Args:
            before: seconds of the run without it.
            run_frames: frames of the run with it.
            frames: of the mel.
        """
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


def calibrate(synthesizer: Synthesizer, silence: float, seconds: float) -> Costs:
    """Time runs of growing length, until to join two saves nothing any more, and return what they cost.

    Args:
        synthesizer: the model; one that speaks one mel at a time is not timed, as there is nothing to choose.
        silence: a value that its mels can have.
        seconds: how long this may take; one run of each kind is made in any case.
    """
    if not isinstance(synthesizer, BatchSynthesizer):
        return Costs()
    deadline, points = time.perf_counter() + seconds, list[Point]()
    mel = np.full((synthesizer.mel_config.n_mels, LONGEST), silence, np.float32)
    for frames in LENGTHS:
        left = deadline - time.perf_counter()
        if points and left < 2.0 * (points[-1].alone + points[-1].together):  # what one run of each will take
            break
        points.append(_measured(synthesizer, synthesizer, mel, frames, deadline))
        if len(points) > 2 and not _saves(points[-2], points[-1]):
            break
    costs = Costs(tuple(points))
    logger.info(
        "%s: runs of up to %d frames, at best %.0f frames per second",
        synthesizer.name,
        costs.max_frames,
        costs.frames_per_second,
    )
    return costs


def _saves(half: Point, whole: Point) -> bool:
    return whole.together <= (1.0 - LEAST_SAVING) * 2.0 * min(half.together, half.alone)


def _measured(
    single: Synthesizer, many: BatchSynthesizer, mel: NDArray[np.float32], frames: int, deadline: float
) -> Point:
    items = min(MAX_ITEMS, max(2, frames // ITEM_FRAMES))
    each = max(1, (2 * frames - many.run_frames([frames // items] * items)) // items)  # so that gaps are inside
    utterances = [Utterance(mel[:, :each], seed=item) for item in range(items)]
    alone = _quickest(lambda: single.synthesize(mel[:, :frames], seed=0), deadline)
    together = _quickest(lambda: many.synthesize_many(utterances), deadline)
    return Point(frames, alone, together * frames / many.run_frames([each] * items))


def _quickest(run: Callable[[], object], deadline: float) -> float:
    """Return the least seconds of a few runs, fewer after the deadline: what disturbs a run only makes it longer."""
    seconds: list[float] = []
    while len(seconds) < REPEATS and not (seconds and time.perf_counter() >= deadline):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return min(seconds)
