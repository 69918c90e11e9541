"""The engine: one thread, a bounded queue, honest states."""

import numpy as np
import pytest

from server.engine.engines import Engines
from server.engine.errors import EngineState, NotReadyError, SynthesisError
from server.engine.queue import QueueLimits
from vocoder.sampling import Utterance


class Launched:
    """Servers' engines of one model each, started by being called."""

    def __init__(self):
        self.engines = []

    def __call__(self, load, queue_size=4, wait=True):
        engines = Engines(("some/where",), load, QueueLimits(items=queue_size))
        self.engines.append(engines)
        engines.start()
        (engine,) = engines
        if wait:
            engine.loaded.result(60.0)
        return engine

    def stop(self, timeout=60.0):
        for engines in self.engines:
            engines.stop(timeout)


@pytest.fixture
def launch():
    launched = Launched()
    yield launched
    launched.stop()


def utterance(mel, seed=1):
    return Utterance(mel, sigma=0.7, seed=seed)


def test_warming_is_a_real_run_before_ready(launch, fake, wait_until):
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


def test_a_model_that_cannot_be_loaded(launch):
    def load(reference):
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
def test_a_model_that_speaks_nonsense_never_becomes_ready(launch, fake, gain):
    fake.gain = gain
    with pytest.raises(SynthesisError):
        launch(lambda _: fake)


def test_stopping_gives_up_after_its_time(launch, fake, new_mel, wait_until):
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
