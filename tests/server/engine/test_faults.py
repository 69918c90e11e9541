"""What clients see of a device that is slow, stuck, out of memory, broken or lost: on a socket, many at once."""

import io
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import numpy as np
import pytest
from faulty import POISON, FaultyRowSynthesizer, FaultySynthesizer

TIMEOUT = 60.0
ROWS = {"device": "cuda"}  # mels share runs there; nothing asks the device for anything


@pytest.fixture
def pool():
    with ThreadPoolExecutor(12) as pool:
        yield pool


class Client:
    """Speaks to one server, at several sockets at once."""

    def __init__(self, url, pool, wait_until):
        self._url, self._pool, self._wait_until = url, pool, wait_until

    def get(self, path):
        return httpx.get(self._url + path, timeout=TIMEOUT).status_code

    def metric(self, name):
        text = httpx.get(f"{self._url}/metrics", timeout=TIMEOUT).text
        return next((float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"{name}{{")), 0.0)

    def speak(self, mel, **headers):
        stream = io.BytesIO()
        np.save(stream, mel)
        url = f"{self._url}/v1/synthesize?format=npy"
        return self._pool.submit(httpx.post, url, content=stream.getvalue(), headers=headers, timeout=TIMEOUT)

    def speak_together(self, device, first, *mels):
        """Hold up the device with the first, and send the others when it runs, so that they wait together."""
        device.gate.clear()
        runs = len(device.runs)
        answers = [self.speak(first)]
        self._wait_until(lambda: len(device.runs) > runs)
        answers += [self.speak(mel) for mel in mels]
        self._wait_until(lambda: self.metric("vocoder_queued_requests") == len(mels))
        device.gate.set()
        return answers


@pytest.fixture
def client_of(ready, pool, wait_until):
    @contextmanager
    def run(model, **settings):
        with ready(model, **settings) as url:
            yield Client(url, pool, wait_until)

    return run


def outcome(answer):
    response = answer.result(TIMEOUT)
    assert "secret" not in response.text
    return response.status_code, response.json()["type"].rpartition(":")[2]


def assert_spoken(answer, mel):
    response = answer.result(TIMEOUT)
    assert response.status_code == 200, response.text
    expected = np.repeat(np.tanh(mel.mean(axis=0) / 10.0), 256).astype(np.float32)
    np.testing.assert_array_equal(np.load(io.BytesIO(response.content)), expected)


def levels(new_mel, count, frames=10):
    return [new_mel(frames=frames, level=-3.0 - n / 2.0) for n in range(count)]


def test_what_waits_together_shares_a_run(client_of, new_mel):
    device, mels = FaultyRowSynthesizer(), levels(new_mel, 6)
    with client_of(device, **ROWS) as client:
        answers = client.speak_together(device, *mels)
        for answer, mel in zip(answers, mels, strict=True):
            assert_spoken(answer, mel)
    assert device.runs == [[10], [10] * 5]


def test_out_of_memory_halves_the_batch_and_tries_again(client_of, new_mel):
    device, mels = FaultyRowSynthesizer(capacity=25), levels(new_mel, 9)
    with client_of(device, **ROWS) as client:
        for answer, mel in zip(client.speak_together(device, *mels), mels, strict=True):
            assert_spoken(answer, mel)
        assert device.runs[1:] == [[10] * 8, [10] * 4, [10] * 2, [10] * 2, [10] * 4, [10] * 2, [10] * 2]
        assert client.metric("vocoder_out_of_memory_total") == 3
        del device.runs[:]
        for answer, mel in zip(client.speak_together(device, *mels), mels, strict=True):
            assert_spoken(answer, mel)
        assert max(sum(run) for run in device.runs) <= 25  # it has learnt how much fits
        assert client.metric("vocoder_out_of_memory_total") == 3
        assert client.get("/readyz") == 200


def test_a_mel_too_large_for_the_device_fails_alone(client_of, new_mel):
    device, mels = FaultyRowSynthesizer(capacity=25), levels(new_mel, 4)
    with client_of(device, **ROWS) as client:
        mels[2] = new_mel(frames=30)
        answers = client.speak_together(device, *mels)
        assert outcome(answers.pop(2)) == (507, "out-of-memory")
        del mels[2]
        for answer, mel in zip(answers, mels, strict=True):
            assert_spoken(answer, mel)
        assert client.get("/livez") == client.get("/readyz") == 200


def test_one_that_the_model_fails_on_spoils_nothing_for_the_others(client_of, new_mel):
    device, mels = FaultyRowSynthesizer(), levels(new_mel, 8)
    mels[5][0, 0] = POISON
    with client_of(device, **ROWS) as client:
        answers = client.speak_together(device, *mels)
        assert outcome(answers.pop(5)) == (500, "synthesis-failed")
        del mels[5]
        for answer, mel in zip(answers, mels, strict=True):
            assert_spoken(answer, mel)


def test_a_fault_on_the_second_call_only(client_of, new_mel):
    device = FaultySynthesizer()
    with client_of(device, **ROWS) as client:
        for fault in ("nan", "short", "bug", "out-of-memory"):
            device.fault, device.first, device.last, device.calls = fault, 1, 2, 0
            assert_spoken(client.speak(new_mel()), new_mel())
            expected = (507, "out-of-memory") if fault == "out-of-memory" else (500, "synthesis-failed")
            assert outcome(client.speak(new_mel())) == expected
            assert_spoken(client.speak(new_mel()), new_mel())
            assert client.get("/livez") == client.get("/readyz") == 200


def test_a_device_that_hangs_is_seen_and_nobody_waits_beyond_a_deadline(client_of, new_mel, wait_until):
    device = FaultySynthesizer("hang", last=1)
    with client_of(device, stall_timeout=0.2) as client:
        held = client.speak(new_mel())
        wait_until(lambda: client.get("/livez") == 503)
        late = client.speak(new_mel(), **{"X-Deadline-Ms": "1"})
        assert outcome(late) == (504, "deadline-exceeded")
        assert client.metric("vocoder_queued_requests") == 0
        device.release.set()
        assert_spoken(held, new_mel())
        wait_until(lambda: client.get("/livez") == 200)
        assert_spoken(client.speak(new_mel()), new_mel())


def test_a_lost_device_refuses_all_that_waits(client_of, new_mel):
    device, mels = FaultyRowSynthesizer(fault="fatal", first=1), levels(new_mel, 5)
    with client_of(device, **ROWS) as client:
        device.fault = "fatal"
        answers = client.speak_together(device, *mels)
        assert_spoken(answers[0], mels[0])
        assert [outcome(answer) for answer in answers[1:]] == [(500, "synthesis-failed")] * 4
        assert outcome(client.speak(new_mel())) == (503, "model-failed")
        assert client.get("/livez") == client.get("/readyz") == 503
    assert len(device.runs) == 2  # nothing was tried on it again
