"""An engine never serves a model that fails, and does not wait for ever when it stops."""

import numpy as np
import pytest

from server.engine.engines import Engines
from server.engine.errors import NotReadyError, SynthesisError
from vocoder.sampling import Utterance


@pytest.fixture
def engines(fake):
    launched = Engines(("some/where",), lambda _: fake)
    yield launched
    launched.stop(60.0)


@pytest.mark.parametrize("gain", [np.nan, np.inf])
def test_a_model_that_speaks_nonsense_never_becomes_ready(engines, fake, gain):
    fake.gain = gain
    engines.start()
    (engine,) = engines
    with pytest.raises(SynthesisError):
        engine.loaded.result(60.0)
    with pytest.raises(NotReadyError):
        engine.admit()


def test_stopping_gives_up_after_its_time(engines, fake, new_mel, wait_until):
    engines.start()
    (engine,) = engines
    engine.loaded.result(60.0)
    fake.gate.clear()
    running = engine.submit(Utterance(new_mel(), seed=1))
    wait_until(lambda: running.begun)
    waiting = engine.submit(Utterance(new_mel(), seed=1))
    engines.stop(0.01)
    with pytest.raises(NotReadyError):
        waiting.result(0.0)
    fake.gate.set()
    assert running.result(60.0).x.size
