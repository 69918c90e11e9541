"""The engine: one thread, a bounded queue, honest states."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from server.engine.engine import Engine
from server.engine.engines import Engines
from server.engine.errors import EngineState, NotReadyError, QueueFullError, SynthesisError
from server.engine.queue import QueueLimits
from vocoder.sampling import Utterance


class Launched:
    """Servers' engines of one model each, started by being called."""

    def __init__(self) -> None:
        self.engines: list[Engines] = []

    def __call__(self, load: Callable[[str], Any], queue_size: int = 4, wait: bool = True) -> Engine:
        engines = Engines(("some/where",), load, QueueLimits(items=queue_size))
        self.engines.append(engines)
        engines.start()
        (engine,) = engines
        if wait:
            engine.loaded.result(60.0)
        return engine

    def stop(self, timeout: float = 60.0) -> None:
        for engines in self.engines:
            engines.stop(timeout)


@pytest.fixture
def launch() -> Iterator[Launched]:
    launched = Launched()
    yield launched
    launched.stop()


def utterance(mel: Any, seed: int = 1) -> Utterance:
    return Utterance(mel, sigma=0.7, seed=seed)


def test_the_answer_is_the_synthesizers(launch: Launched, fake: Any, new_mel: Any) -> None:
    engine = launch(lambda _: fake)
    speech = engine.submit(utterance(new_mel(), seed=5)).result(60.0)
    np.testing.assert_array_equal(speech.x, fake.synthesize(new_mel(), sigma=0.7, seed=5))
    assert speech.sample_rate == 22050
    assert speech.queue_seconds >= 0.0
    assert speech.infer_seconds > 0.0


def test_only_one_thread_touches_the_model(launch: Launched, fake: Any, new_mel: Any) -> None:
    engine = launch(lambda _: fake, queue_size=100)
    fake.threads.clear()  # the loader's
    futures = [engine.submit(utterance(new_mel())) for _ in range(20)]
    for future in futures:
        future.result(60.0)
    assert len(fake.threads) == 1
    assert threading.get_ident() not in fake.threads
    assert fake.calls == 21  # with the warm-up


def test_warming_is_a_real_run_before_ready(launch: Launched, fake: Any, wait_until: Any) -> None:
    fake.gate.clear()
    engine = launch(lambda _: fake, wait=False)
    assert engine.state is EngineState.LOADING
    assert engine.alive(60.0)
    with pytest.raises(NotReadyError):
        engine.admit()
    assert not engine.loaded.done()
    fake.gate.set()
    engine.loaded.result(60.0)
    assert (engine.state, engine.name, fake.calls) == (EngineState.READY, "fake", 1)


def test_a_model_that_cannot_be_loaded(launch: Launched) -> None:
    def load(reference: str) -> Any:
        raise FileNotFoundError(reference)

    engine = launch(load, wait=False)
    with pytest.raises(FileNotFoundError):
        engine.loaded.result(60.0)
    assert (engine.state, engine.name) == (EngineState.FAILED, "where")
    assert not engine.alive(1000.0)
    with pytest.raises(NotReadyError) as caught:
        engine.admit()
    assert caught.value.state is EngineState.FAILED


@pytest.mark.parametrize("gain", [np.nan, np.inf])
def test_a_model_that_speaks_nonsense_never_becomes_ready(launch: Launched, fake: Any, gain: float) -> None:
    fake.gain = gain
    with pytest.raises(SynthesisError):
        launch(lambda _: fake)


def test_a_full_queue_refuses_and_empties_in_order(launch: Launched, fake: Any, new_mel: Any, wait_until: Any) -> None:
    engine = launch(lambda _: fake, queue_size=3)
    fake.gate.clear()
    running = engine.submit(utterance(new_mel()))
    wait_until(lambda: running.begun)
    waiting = [engine.submit(utterance(new_mel(frames=10 + n), seed=n)) for n in range(3)]
    assert (engine.queued, engine.queued_frames) == (3, 33)
    with pytest.raises(QueueFullError) as caught:
        engine.submit(utterance(new_mel()))
    assert 1 <= caught.value.retry_after <= 60
    fake.gate.set()
    for n, future in enumerate(waiting):
        assert len(future.result(60.0).x) == (10 + n) * 256
    assert engine.queued == 0
    engine.admit()


def test_a_cancelled_job_is_not_computed(launch: Launched, fake: Any, new_mel: Any, wait_until: Any) -> None:
    engine = launch(lambda _: fake)
    fake.gate.clear()
    running = engine.submit(utterance(new_mel()))
    wait_until(lambda: running.begun)
    gone, last = engine.submit(utterance(new_mel())), engine.submit(utterance(new_mel()))
    assert gone.cancel()
    fake.gate.set()
    last.result(60.0)
    assert fake.calls == 3  # warm-up, first and last


@pytest.mark.parametrize(
    ("fault", "out_of_memory"), [(RuntimeError("secret"), False), (MemoryError(), True), (ValueError("x"), False)]
)
def test_a_failed_job_leaves_the_engine_well(
    launch: Launched, fake: Any, new_mel: Any, fault: Exception, out_of_memory: bool
) -> None:
    engine = launch(lambda _: fake)
    fake.fault = fault
    with pytest.raises(SynthesisError) as caught:
        engine.submit(utterance(new_mel())).result(60.0)
    assert caught.value.out_of_memory is out_of_memory
    assert "secret" not in str(caught.value)
    fake.fault = None
    assert engine.submit(utterance(new_mel())).result(60.0).x.shape == (12 * 256,)
    assert engine.state is EngineState.READY


def test_a_stuck_model_is_not_alive(launch: Launched, fake: Any, new_mel: Any, wait_until: Any) -> None:
    engine = launch(lambda _: fake)
    fake.gate.clear()
    future = engine.submit(utterance(new_mel()))
    wait_until(lambda: future.begun)
    time.sleep(0.05)
    assert not engine.alive(0.04)
    assert engine.alive(100.0)
    fake.gate.set()
    future.result(60.0)
    wait_until(lambda: engine.alive(0.6))


def test_stopping_finishes_what_waits(launch: Launched, fake: Any, new_mel: Any, wait_until: Any) -> None:
    engine = launch(lambda _: fake)
    fake.gate.clear()
    futures = [engine.submit(utterance(new_mel())) for _ in range(3)]
    stopper = threading.Thread(target=launch.stop)
    stopper.start()
    wait_until(lambda: engine.state is EngineState.STOPPED)
    with pytest.raises(NotReadyError):
        engine.submit(utterance(new_mel()))
    fake.gate.set()
    stopper.join(60.0)
    assert all(future.result(0.0).x.size for future in futures)


def test_stopping_gives_up_after_its_time(launch: Launched, fake: Any, new_mel: Any, wait_until: Any) -> None:
    engine = launch(lambda _: fake)
    fake.gate.clear()
    running = engine.submit(utterance(new_mel()))
    wait_until(lambda: running.begun)
    waiting = engine.submit(utterance(new_mel()))
    launch.stop(0.01)
    with pytest.raises(NotReadyError):
        waiting.result(0.0)
    fake.gate.set()
    assert running.result(60.0).x.size
