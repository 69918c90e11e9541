import os
import signal
from functools import partial

import numpy as np
import pytest
import torch
from tiny_models import TINY_MEL, perturbed, tiny_waveglow

import vocoder
from server.engine.model import LoadedModel
from server.engine.twins import Twins
from vocoder.checkpoint import save_model
from vocoder.sampling import Utterance

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
    found.stop()


def _mel(frames):
    return np.random.default_rng(frames).normal(-5.0, 1.0, (TINY_MEL.n_mels, frames)).astype(np.float32)


def test_another_process_makes_the_same_samples_until_it_dies_and_then_another_one_does(twins, directory):
    synthesizer, mel = vocoder.load(directory, guard="off"), _mel(9)
    expected = synthesizer.synthesize(mel, **SAMPLING)
    made, sha256 = twins.run(1, directory, mel, SAMPLING)
    np.testing.assert_array_equal(made, expected)
    assert sha256 == synthesizer.weights_sha256
    assert twins.run(1, directory, mel * np.nan, SAMPLING) is None  # an error, which the server makes again
    (process,) = twins.processes
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert twins.run(1, directory, mel, SAMPLING) is None
    twins.wait()
    np.testing.assert_array_equal(twins.run(1, directory, mel, SAMPLING)[0], expected)
    assert [one.pid for one in twins.processes] != [process.pid]


def test_a_model_that_was_replaced_on_disk_is_not_mixed_with_the_loaded_one(twins, directory, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    synthesizer = vocoder.load(directory, guard="off")
    loaded, utterance = LoadedModel(synthesizer, twins=twins), Utterance(mel=_mel(9), seed=1)
    with monkeypatch.context() as patched:
        patched.setattr(synthesizer, "synthesize", None)  # the other process computes
        (before,) = loaded.run([utterance])
    twins.forget(loaded._number)
    save_model(directory, perturbed(tiny_waveglow("lapped")), TINY_MEL)
    assert not np.array_equal(vocoder.load(directory, guard="off").synthesize(utterance.mel, seed=1), before)
    (after,) = loaded.run([utterance])
    np.testing.assert_array_equal(after, before)


def test_without_an_idle_process_nothing_is_computed(directory):
    twins = Twins(0, partial(vocoder.load, guard="off"))
    twins.start()
    twins.wait()
    assert twins.run(1, directory, _mel(9), SAMPLING) is None


def test_processes_end_when_they_are_stopped(twins):
    (process,) = twins.processes
    twins.stop()
    process.join(20.0)
    assert process.exitcode == 0
