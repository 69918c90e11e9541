import threading
import time

import httpx
import pytest
from exactness import assert_same
from handshakes import connected, post
from http_helpers import TIMEOUT, metrics, npy
from streamers import Streamer, mel_of
from tiny_models import TINY_MEL, tiny_synthesizer

from server.engine import model as loaded_model
from server.engine.engine import EngineState, NotReadyError
from server.engine.jobs import Job, Part
from server.engine.lanes import Lanes
from server.engine.model import LoadedModel
from server.engine.queue import QueueFullError, WorkQueue
from server.service import Engines
from vocoder.sampling import Utterance


class SlowStreamer(Streamer):
    """Takes `seconds` per frame."""

    def __init__(self, name="slow", seconds=0.0004):
        super().__init__(name)
        self.seconds = seconds
        self.computed = []

    def _synthesize(self, sigma, mel, noise):
        self.computed.append(mel.shape[2])
        time.sleep(self.seconds * mel.shape[2])
        return super()._synthesize(sigma, mel, noise)


@pytest.fixture(autouse=True)
def _short_parts(monkeypatch):
    monkeypatch.setattr(loaded_model, "LONGEST_RUN", 0.1)
    monkeypatch.setattr(loaded_model, "PART_SECONDS", 0.05)


@pytest.fixture
def launch():
    """Start engines and, unless `load` is given, wait until they are loaded."""
    launched = []

    def start(*models, seconds=1000.0, load=None):
        known = {model.name: model for model in models}
        loader = load or known.__getitem__
        engines = Engines(tuple(known), lambda name: LoadedModel(loader(name)), Lanes(1, 1), 64, seconds)
        launched.append(engines)
        engines.start()
        for engine in engines if load is None else ():
            engine.loaded.result(TIMEOUT)
        return engines

    yield start
    for engines in launched:
        engines.stop(TIMEOUT)


def test_other_models_run_between_two_parts_of_a_long_mel(launch, fake, new_mel):
    slow, quick = launch(SlowStreamer(), fake)
    long = slow.submit(Utterance(mel_of(2000), seed=1))
    for seed in range(3):
        quick.submit(Utterance(new_mel(), seed=seed)).result(TIMEOUT)
    assert not long.done()
    assert len(long.result(TIMEOUT)) == 2000 * 256


def test_stopping_gives_up_after_its_timeout(launch, fake, new_mel, wait_until):
    (engine,) = engines = launch(fake)
    fake.gate.clear()
    running = engine.submit(Utterance(new_mel(), seed=1))
    wait_until(lambda: running.begun)
    waiting = engine.submit(Utterance(new_mel(), seed=1))
    engines.stop(0.01)
    with pytest.raises(NotReadyError):
        waiting.result(0.0)
    fake.gate.set()
    assert running.result(TIMEOUT).size


def test_a_queue_is_full_by_its_expected_seconds(launch):
    model = SlowStreamer()
    (engine,) = launch(model, seconds=0.5)
    model.gate.clear()
    long = engine.submit(Utterance(mel_of(4000), seed=1))
    with pytest.raises(QueueFullError):
        engine.submit(Utterance(mel_of(10), seed=1))
    long.cancel()
    model.gate.set()
    queue, costly = WorkQueue(Lanes(1, 1), 1, 1000.0), Job(50, cost=10.0)
    costly.client = ("another", "")
    list(map(queue.submit, (Job(100), Job(100))))
    with pytest.raises(QueueFullError):
        queue.submit(costly)


def test_models_load_one_after_the_other_while_loaded_ones_serve(launch, fake, new_fake, new_mel, wait_until):
    known, loaded, go = {"fake": fake, "other": new_fake("other")}, [], threading.Event()

    def load(name):
        loaded.append(name)
        assert name == "fake" or go.wait(TIMEOUT)
        return known[name]

    fake.gate.clear()
    before = fake.entered  # once started, it may already be at the gate
    first, second = launch(*known.values(), load=load)
    wait_until(lambda: fake.entered > before)
    assert loaded == ["fake"]  # the other one would disturb its warm-up
    fake.gate.set()
    first.loaded.result(TIMEOUT)
    assert first.submit(Utterance(new_mel(), seed=1)).result(TIMEOUT).size
    assert (second.state, second.alive(TIMEOUT)) == (EngineState.LOADING, True)
    go.set()
    second.loaded.result(TIMEOUT)
    assert loaded == ["fake", "other"]
    second._model = None
    with pytest.raises(NotReadyError, match="still loading"):
        second.submit(Utterance(new_mel(), seed=1))  # while it gets ready


def test_each_mel_gets_its_own_number_of_corrections(monkeypatch):
    monkeypatch.setattr(loaded_model, "LEAST_PART_FRAMES", 1)
    model = tiny_synthesizer("lapped")
    mels = [Utterance(mel_of(40 + n, TINY_MEL.n_mels), seed=n, corrections=c) for n, c in enumerate((0, 3, None, 3))]
    expected = [model.synthesize(one.mel, seed=one.seed, corrections=one.corrections) for one in mels]
    loaded = LoadedModel(model)
    loaded.pace.add(1, 1.0)  # a frame takes a second, so each mel is long
    assert all(parts is not None for parts in map(loaded.in_parts, mels))
    for outcomes in (loaded.run(mels), [loaded.run([one])[0] for one in mels], [in_parts(loaded, one) for one in mels]):
        for x, y in zip(outcomes, expected, strict=True):
            assert_same(x, y)


def in_parts(loaded, utterance):
    """Return the audio of an utterance computed in parts."""
    job = Job(utterance.frames, parts=loaded.in_parts(utterance))
    while isinstance(outcome := job.next_part(), Part):
        continue
    return outcome


@pytest.mark.parametrize(("seconds", "longest", "compiling"), [(1e-9, 32, 0.6), (1.0, 5, 0.0), (100.0, 4, 0.0)])
def test_slow_models_are_warmed_up_with_short_mels_and_compiling_does_not_count(fake, seconds, longest, compiling):
    lengths = []
    synthesize = fake.synthesize

    def recorded(mel, **options):
        lengths.append(mel.shape[1])
        denoised.append(options["denoise"] > 0.0)
        time.sleep(compiling * (len(lengths) == 1))
        return synthesize(mel, **options)

    fake.synthesize, denoised, loaded = recorded, [], LoadedModel(fake)
    loaded.warm_up(seconds)
    assert loaded.pace.frames_per_second > 2 * longest
    assert (lengths, denoised) == ([longest, longest], [seconds < 1.0, False])


def test_a_long_mel_is_cancelled_after_its_deadline_and_when_its_client_disconnects(ready, fake, wait_until):
    """For example a mel of 4096 frames for a model that generates sample by sample."""
    slow = SlowStreamer(seconds=0.01)  # 40 seconds in total
    with ready(slow, fake, stall_timeout=5.0) as url:
        late = httpx.post(f"{url}/synthesize", content=npy(mel_of(4000)), headers={"X-Deadline-Ms": "300"})
        assert late.json()["type"].endswith("deadline-exceeded")
        assert 'vocoder_frames_total{model="slow"}' not in metrics(url)
        del slow.computed[:]
        with connected(url, post("/v1/synthesize?model=slow", npy(mel_of(4000)))):
            wait_until(lambda: len(slow.computed) > 0)
            other = httpx.post(f"{url}/v1/synthesize?model=fake", content=npy(mel_of(16)), timeout=TIMEOUT)
            assert other.status_code == 200, other.text
            assert httpx.get(f"{url}/livez", timeout=TIMEOUT).status_code == 200
        text = 'vocoder_cancelled_total{model="slow",stage="running"} 1.0'
        wait_until(lambda: text in metrics(url))
        again = httpx.post(f"{url}/v1/synthesize?model=slow", content=npy(mel_of(2)), timeout=TIMEOUT)
        assert again.status_code == 200
        assert 'vocoder_queued_requests{model="slow"} 0.0' in metrics(url)
        assert sum(slow.computed) < 6000  # 8800 in total, with the context of each part
