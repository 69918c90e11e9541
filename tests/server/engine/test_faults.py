"""What clients see of a device that is slow, stuck, out of memory, broken or lost: on a socket, many at once."""

from contextlib import contextmanager

import httpx
import numpy as np
import pytest
import torch
from answers import TIMEOUT, metric, npy, samples, slug
from fakes import LOST, POISON, FakeSynthesizer, RowSynthesizer

ROWS = {"device": "cuda"}  # mels share runs there; nothing asks the device for anything


class Client:
    """Speaks to one server, at several sockets at once."""

    def __init__(self, url, pool, wait_until):
        self._url, self._pool, self._wait_until = url, pool, wait_until

    def get(self, path):
        return httpx.get(self._url + path, timeout=TIMEOUT).status_code

    def metric(self, name):
        return metric(self._url, name)

    def speak(self, mel, **headers):
        url = f"{self._url}/v1/synthesize?format=npy&seed=1"
        return self._pool.submit(httpx.post, url, content=npy(mel), headers=headers, timeout=TIMEOUT)

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
    return slug(response)


def assert_spoken(answer, mel):
    np.testing.assert_array_equal(samples(answer.result(TIMEOUT)), FakeSynthesizer().synthesize(mel, seed=1))


def assert_all_spoken(answers, mels):
    for answer, mel in zip(answers, mels, strict=True):
        assert_spoken(answer, mel)


def levels(new_mel, count, frames=10):
    return [new_mel(frames=frames, level=-3.0 - n / 2.0) for n in range(count)]


def test_what_waits_together_shares_a_run_and_halves_it_without_memory(client_of, new_mel):
    device, mels = RowSynthesizer(), levels(new_mel, 6)
    with client_of(device, **ROWS) as client:
        assert_all_spoken(client.speak_together(device, *mels), mels)
    assert device.runs == [[10], [10] * 5]
    device, mels = RowSynthesizer(capacity=25), levels(new_mel, 9)
    with client_of(device, **ROWS) as client:
        assert_all_spoken(client.speak_together(device, *mels), mels)
        assert device.runs[1:] == [[10] * 8, [10] * 4, [10] * 2, [10] * 2, [10] * 4, [10] * 2, [10] * 2]
        assert client.metric("vocoder_out_of_memory_total") == 3
        del device.runs[:]
        assert_all_spoken(client.speak_together(device, *mels), mels)
        assert max(sum(run) for run in device.runs) <= 25  # it has learnt how much fits
        assert client.metric("vocoder_out_of_memory_total") == 3
        assert client.get("/readyz") == 200


TOO_LARGE, WRONG = (25, 30, -4.0, 507, "out-of-memory"), (10**9, 10, POISON, 500, "synthesis-failed")


@pytest.mark.parametrize(("capacity", "frames", "value", "status", "name"), [TOO_LARGE, WRONG])
def test_one_that_does_not_fit_or_fails_spoils_nothing(client_of, new_mel, capacity, frames, value, status, name):
    device, mels, wrong = RowSynthesizer(capacity), levels(new_mel, 8), new_mel(frames=frames)
    wrong[0, 0] = value
    with client_of(device, **ROWS) as client:
        answers = client.speak_together(device, *mels[:5], wrong, *mels[5:])
        assert outcome(answers.pop(5)) == (status, name)
        assert_all_spoken(answers, mels)
        assert client.get("/livez") == client.get("/readyz") == 200


def spoilt(x):
    x[len(x) // 2] = np.nan
    return x


def test_a_fault_on_one_call_only(client_of, fake, new_mel):
    failed, exhausted = (500, "synthesis-failed"), (507, "out-of-memory")
    with client_of(fake, **ROWS) as client:
        faults = dict.fromkeys((spoilt, lambda x: x[:-1], KeyError("secret")), failed)
        faults |= dict.fromkeys((torch.OutOfMemoryError("secret"), MemoryError()), exhausted)
        for fault, expected in faults.items():
            assert_spoken(client.speak(new_mel()), new_mel())
            fake.fault = fault
            assert outcome(client.speak(new_mel())) == expected
            fake.fault = None
            assert_spoken(client.speak(new_mel()), new_mel())
            assert client.get("/livez") == client.get("/readyz") == 200


def test_a_device_that_hangs_is_seen_and_nobody_waits_beyond_a_deadline(client_of, fake, new_mel, wait_until):
    with client_of(fake, stall_timeout=0.2) as client:
        fake.gate.clear()
        held = client.speak(new_mel())
        wait_until(lambda: client.get("/livez") == 503)
        assert outcome(client.speak(new_mel(), **{"X-Deadline-Ms": "1"})) == (504, "deadline-exceeded")
        assert client.metric("vocoder_queued_requests") == 0
        fake.gate.set()
        assert_spoken(held, new_mel())
        wait_until(lambda: client.get("/livez") == 200)
        assert_spoken(client.speak(new_mel()), new_mel())


def test_a_lost_device_refuses_all_that_waits(client_of, new_mel):
    def lost(x):
        if len(device.runs) > 1:
            raise LOST
        return x

    device, mels = RowSynthesizer(), levels(new_mel, 5)
    device.fault = lost
    with client_of(device, **ROWS) as client:
        answers = client.speak_together(device, *mels)
        assert_spoken(answers[0], mels[0])
        assert [outcome(answer) for answer in answers[1:]] == [(500, "synthesis-failed")] * 4
        assert outcome(client.speak(new_mel())) == (503, "model-failed")
        assert client.get("/livez") == client.get("/readyz") == 503
    assert len(device.runs) == 2  # nothing was tried on it again
