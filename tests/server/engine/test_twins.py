import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import Connection
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from exactness import assert_same
from tiny_models import TINY_MEL, perturbed, tiny_waveglow

import vocoder
from server.engine.lanes import ELSEWHERE
from server.engine.model import LoadedModel, Remote
from server.engine.twins import WATCH_SECONDS, Model, Twins
from vocoder.checkpoint import save_model
from vocoder.sampling import Utterance
from vocoder.stages import Pipeline

SAMPLING = {"seed": 3, "sigma": 0.9}


@pytest.fixture
def directory(tmp_path):
    return str(save_model(tmp_path / "tiny", perturbed(tiny_waveglow("lapped")), TINY_MEL))


@pytest.fixture
def twins():
    found = Twins(1, partial(vocoder.load, guard="off"))
    found.start()
    found.wait()
    yield found
    processes = _processes(found)
    found.stop()
    assert [(process.join(20.0), process.exitcode) for process in processes] == [(None, 0)] * len(processes)


def _processes(twins):
    return [twin.process for twin in twins._usable()]


def _mel(frames):
    return np.random.default_rng(frames).normal(-5.0, 1.0, (TINY_MEL.n_mels, frames)).astype(np.float32)


def _kill(twins):
    (process,) = _processes(twins)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    return process


def test_another_process_makes_the_same_samples_and_is_replaced_when_it_dies(twins, directory, wait_until, monkeypatch):
    synthesizer, mel = vocoder.load(directory, guard="off"), _mel(9)
    expected, model = synthesizer.synthesize(mel, **SAMPLING), Model(1, directory, synthesizer.weights_sha256)
    np.testing.assert_array_equal(twins.whole(model, mel, SAMPLING), expected)
    assert ELSEWHERE.get() > 0.0
    assert twins.whole(model, mel, SAMPLING | {"sigma": -1.0}) is None  # an error, which the server makes again
    assert twins.whole(model._replace(sha256="another"), mel, SAMPLING) is None
    (process,) = _processes(twins)
    os.kill(process.pid, signal.SIGTERM)  # to all processes of a service: this one ends with the server
    np.testing.assert_array_equal(twins.whole(model, mel, SAMPLING), expected)
    with monkeypatch.context() as patched:
        patched.setattr(Connection, "recv", Mock(side_effect=MemoryError))  # the answer stays in the connection
        assert twins.whole(model, _mel(8), SAMPLING) is None
    for _ in range(2):
        wait_until(lambda ended=process: _processes(twins) not in ([], [ended]))  # even if nothing asks for its work
        np.testing.assert_array_equal(twins.whole(model, mel, SAMPLING), expected)
        os.kill(_processes(twins)[0].pid, signal.SIGSTOP)
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(twins.whole, model, mel, SAMPLING)
            wait_until(lambda: next(iter(twins._places.values())).lock.locked())
            process = _kill(twins)
            assert answer.result() is None


def test_a_process_that_does_not_react_is_killed_at_the_end(twins, monkeypatch):
    monkeypatch.setattr("server.engine.twins.END_SECONDS", 0.1)
    (process,) = _processes(twins)
    os.kill(process.pid, signal.SIGSTOP)
    twins.stop()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def test_a_process_that_is_stuck_is_ended_and_another_one_starts(twins, directory, wait_until, caplog):
    twins._patience = 0.2
    (process,) = _processes(twins)
    os.kill(process.pid, signal.SIGSTOP)
    assert twins.whole(Model(1, directory, None), _mel(9), SAMPLING) is None
    process.join()
    assert process.exitcode == -signal.SIGKILL
    wait_until(lambda: _processes(twins) not in ([], [process]))
    assert f"process {process.pid} for synthesis has ended" in caplog.text


def test_a_process_may_take_long_to_warm_up(twins, directory):
    twins._patience = 0.2
    (process,) = _processes(twins)
    os.kill(process.pid, signal.SIGSTOP)
    with ThreadPoolExecutor() as pool:
        warming = pool.submit(twins.each, Model(1, directory, None), _mel(9), SAMPLING)
        time.sleep(WATCH_SECONDS + 0.5)
        os.kill(process.pid, signal.SIGCONT)
        warming.result()
    assert _processes(twins) == [process]


@pytest.mark.parametrize("killed", [None, 0, 2])
def test_a_stream_goes_on_where_its_process_was_killed_and_keeps_its_model(twins, directory, killed):
    twins.forget = (forgotten := []).append
    loaded, mel = LoadedModel(vocoder.load(directory, guard="off"), twins=twins), _mel(300)
    expected = loaded.synthesizer.synthesize(mel, **SAMPLING)
    session, chunks = loaded.open_stream(SAMPLING, chunk_frames=64), []
    assert isinstance(session.pipeline, Remote)
    del loaded  # as when an idle model is unloaded
    for number, start in enumerate(range(0, 300, 50)):
        if number == killed:
            _kill(twins)
        session.push(mel[:, start : start + 50])
        chunks.append(session.next())
    session.finish()
    while not session.done:
        chunks.append(session.next())
    assert_same(np.concatenate(chunks), expected)
    assert not forgotten  # or the process would load the model again, and keep it


def test_a_model_that_was_replaced_on_disk_is_not_mixed_with_the_loaded_one(twins, directory, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    synthesizer = vocoder.load(directory, guard="off")
    loaded, utterance = LoadedModel(synthesizer, twins=twins), Utterance(mel=_mel(9), seed=1)
    with monkeypatch.context() as patched:
        patched.setattr(synthesizer, "synthesize", None)  # the other process computes
        (before,) = loaded.run([utterance])
    (twin,) = twins._places.values()
    session = loaded.open_stream(SAMPLING)
    with twin.lock:
        del session
        assert len(twin.unneeded) == 1
    twins.forget(loaded._model.number)
    assert not twin.unneeded  # the process knows, so that they do not keep the model
    save_model(directory, perturbed(tiny_waveglow("lapped")), TINY_MEL)
    assert not np.array_equal(vocoder.load(directory, guard="off").synthesize(utterance.mel, seed=1), before)
    (after,) = loaded.run([utterance])
    np.testing.assert_array_equal(after, before)


def test_without_an_idle_process_nothing_is_computed_elsewhere(directory):
    twins = Twins(0, partial(vocoder.load, guard="off"))
    twins.start()
    twins.wait()
    loaded = LoadedModel(vocoder.load(directory, guard="off"), twins=twins)
    assert twins.whole(loaded._model, _mel(9), SAMPLING) is None
    assert isinstance(loaded.open_stream(SAMPLING).pipeline, Pipeline)
    loud = Utterance(mel=_mel(9) + 20.0, seed=1)  # as adapters and sharpening may make it
    for x in loaded.run([loud]) + loaded.run([loud, loud]):
        assert np.isfinite(x).all()
