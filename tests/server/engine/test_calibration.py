"""What runs cost, and when several mels should share one."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np
import pytest

from server.engine.calibration import Costs, calibrate
from server.engine.model import LoadedModel
from vocoder.mel.config import preset

SILENCE = -11.5
GAP = 4


class Device:
    """A synthesizer whose runs take the time that `cost` says, on a clock of its own."""

    name = "device"
    mel_config = preset("nvidia")
    sample_rate = 22050
    hop_length = 256

    def __init__(self, cost: Callable[[int], float]) -> None:
        self.cost = cost
        self.now = 0.0
        self.runs: list[tuple[int, int]] = []

    def info(self) -> dict[str, Any]:
        return {}

    def synthesize(self, mel: Any, **options: Any) -> Any:
        self._run(1, mel.shape[1])
        return np.zeros(mel.shape[1] * self.hop_length, np.float32)

    def synthesize_many(self, utterances: Sequence[Any]) -> list[Any]:
        lengths = [utterance.mel.shape[1] for utterance in utterances]
        self._run(len(lengths), self.run_frames(lengths))
        return [np.zeros(length * self.hop_length, np.float32) for length in lengths]

    def run_frames(self, frames: Sequence[int]) -> int:
        return sum(frames) + GAP * len(frames)

    def _run(self, items: int, frames: int) -> None:
        self.runs.append((items, frames))
        self.now += self.cost(frames)


@pytest.fixture
def measure(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Costs]:
    def run(device: Device, seconds: float = 1000.0) -> Costs:
        monkeypatch.setattr(time, "perf_counter", lambda: device.now)
        return result(calibrate(device, SILENCE, 64.0 / device.cost(64), seconds))

    return run


def result(calibration: Generator[None, None, Costs]) -> Costs:
    """What a calibration finds when nobody else wants the device."""
    while True:
        try:
            next(calibration)
        except StopIteration as end:
            costs: Costs = end.value
            return costs


def small_device(frames: int) -> float:
    """A tenth of a second for each run, and 1000 frames per second: full soon."""
    return 0.1 + frames / 1000.0


def test_the_costs_are_those_of_the_device(measure: Any) -> None:
    costs = measure(Device(small_device))
    for frames in (32, 50, 100, 1000):
        assert costs.alone(frames) == pytest.approx(small_device(frames))
        assert costs.together(frames) == pytest.approx(small_device(frames), rel=0.1)  # scaled to a round length
    assert costs.frames_per_second == pytest.approx(1000.0, rel=0.1)


def test_measuring_ends_where_joining_saves_nothing(measure: Any) -> None:
    costs = measure(Device(small_device))
    saved = 0.1 / (2.0 * small_device(costs.max_frames // 2))
    assert saved < 0.05  # of the time of two runs
    assert costs.max_frames < 2**15


def test_measuring_takes_no_more_than_its_time(measure: Any) -> None:
    device = Device(lambda frames: frames / 64.0)  # half a second for the shortest
    costs = measure(device, seconds=3.0)
    assert device.now <= 3.0 + 2 * device.cost(64)
    assert costs.points
    slow = Device(lambda frames: 100.0)
    assert measure(slow, seconds=3.0) == Costs()
    assert slow.runs == []


def test_a_model_that_speaks_one_at_a_time_is_not_measured(fake: Any) -> None:
    assert result(calibrate(fake, SILENCE, 1000.0, 10.0)) == Costs()
    assert fake.calls < 0
    assert Costs().max_frames == Costs().frames_per_second == 0


def batch(runner: LoadedModel, waiting: list[int]) -> list[int]:
    """The lengths that would share a run with the first."""
    taken: list[int] = []
    for frames in waiting:
        if runner.fits([*taken, frames]):
            taken.append(frames)
    return taken


def test_short_mels_share_a_run_and_long_ones_stay_alone(measure: Any) -> None:
    device = Device(small_device)
    runner = LoadedModel(device, measure(device))
    assert batch(runner, [40, 43, 50, 60]) == [40, 43, 50, 60]
    limit = runner.max_frames
    assert batch(runner, [limit, 40]) == [limit]
    assert batch(runner, [40, limit, 50]) == [40, 50]
    assert sum(batch(runner, [100] * 1000)) <= limit
