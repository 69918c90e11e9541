"""What concurrent clients see when a device is slow, stuck, out of memory, broken or lost."""

from contextlib import contextmanager

import httpx
import numpy as np
import pytest
import torch
from fakes import LOST, POISON, FakeSynthesizer, RowSynthesizer
from http_helpers import TIMEOUT, metric, npy, samples, slug

ROWS = {"device": "cuda"}  # mels share runs on GPUs; no real device is used


class Client:
    """Sends concurrent requests to one server."""

    def __init__(self, url, pool, wait_until):
        self._url, self._pool, self._wait_until = url, pool, wait_until

    def get(self, path):
        return httpx.get(self._url + path, timeout=TIMEOUT).status_code

    def metric(self, name):
        return metric(self._url, name)

    def synthesize(self, mel, **headers):
        url = f"{self._url}/v1/synthesize?format=npy&seed=1"
        return self._pool.submit(httpx.post, url, content=npy(mel), headers=headers, timeout=TIMEOUT)

    def synthesize_together(self, device, first, *mels):
        """Block the device with the first mel and send the others meanwhile, so that they wait together."""
        device.gate.clear()
        runs = len(device.runs)
        answers = [self.synthesize(first)]
        self._wait_until(lambda: len(device.runs) > runs)
        answers += [self.synthesize(mel) for mel in mels]
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


def assert_audio(answers, mels):
    for answer, mel in zip(answers, mels, strict=True):
        np.testing.assert_array_equal(samples(answer.result(TIMEOUT)), FakeSynthesizer().synthesize(mel, seed=1))


def levels(new_mel, count, frames=10):
    return [new_mel(frames=frames, level=-3.0 - n / 2.0) for n in range(count)]


def test_waiting_requests_share_a_run_that_is_halved_when_out_of_memory(client_of, new_mel):
    device, mels = RowSynthesizer(), levels(new_mel, 6)
    with client_of(device, **ROWS) as client:
        assert_audio(client.synthesize_together(device, *mels), mels)
    assert device.runs == [[10], [10] * 5]
    device, mels = RowSynthesizer(capacity=25), levels(new_mel, 9)
    with client_of(device, **ROWS) as client:
        assert_audio(client.synthesize_together(device, *mels), mels)
        assert device.runs[1:] == [[10] * 8, [10] * 4, [10] * 2, [10] * 2, [10] * 4, [10] * 2, [10] * 2]
        assert client.metric("vocoder_out_of_memory_total") == 3
        del device.runs[:]
        assert_audio(client.synthesize_together(device, *mels), mels)
        assert max(sum(run) for run in device.runs) <= 25  # the engine has learned how much fits
        assert client.metric("vocoder_out_of_memory_total") == 3
        assert client.get("/readyz") == 200


TOO_LARGE, POISONED = (25, 30, -4.0, 507, "out-of-memory"), (10**9, 10, POISON, 500, "synthesis-failed")


@pytest.mark.parametrize(("capacity", "frames", "value", "status", "name"), [TOO_LARGE, POISONED])
def test_mels_that_do_not_fit_or_fail_do_not_affect_others(client_of, new_mel, capacity, frames, value, status, name):
    device, mels, bad = RowSynthesizer(capacity), levels(new_mel, 8), new_mel(frames=frames)
    bad[0, 0] = value
    with client_of(device, **ROWS) as client:
        answers = client.synthesize_together(device, *mels[:5], bad, *mels[5:])
        assert outcome(answers.pop(5)) == (status, name)
        assert_audio(answers, mels)
        assert client.get("/livez") == client.get("/readyz") == 200


def test_the_server_recovers_from_a_fault(client_of, fake, new_mel):
    failed, exhausted = (500, "synthesis-failed"), (507, "out-of-memory")
    with client_of(fake, **ROWS) as client:
        faults = dict.fromkeys(
            (lambda x: np.append(x[1:], np.float32("nan")), lambda x: x[:-1], KeyError("secret")), failed
        )
        faults |= dict.fromkeys((torch.OutOfMemoryError("secret"), MemoryError()), exhausted)
        for fault, expected in faults.items():
            assert_audio([client.synthesize(new_mel())], [new_mel()])
            fake.fault = fault
            assert outcome(client.synthesize(new_mel())) == expected
            fake.fault = None
            assert_audio([client.synthesize(new_mel())], [new_mel()])
            assert client.get("/livez") == client.get("/readyz") == 200


def test_a_hanging_device_is_detected_and_deadlines_are_kept(client_of, fake, new_mel, wait_until):
    with client_of(fake, stall_timeout=0.2) as client:
        fake.gate.clear()
        blocked = client.synthesize(new_mel())
        wait_until(lambda: client.get("/livez") == 503)
        assert outcome(client.synthesize(new_mel(), **{"X-Deadline-Ms": "1"})) == (504, "deadline-exceeded")
        assert client.metric("vocoder_queued_requests") == 0
        fake.gate.set()
        assert_audio([blocked], [new_mel()])
        wait_until(lambda: client.get("/livez") == 200)
        assert_audio([client.synthesize(new_mel())], [new_mel()])


def test_a_lost_device_fails_all_waiting_requests(client_of, new_mel):
    def lost(x):
        if len(device.runs) > 1:
            raise LOST
        return x

    device, mels = RowSynthesizer(), levels(new_mel, 5)
    device.fault = lost
    with client_of(device, **ROWS) as client:
        answers = client.synthesize_together(device, *mels)
        assert_audio(answers[:1], mels[:1])
        assert [outcome(answer) for answer in answers[1:]] == [(500, "synthesis-failed")] * 4
        assert outcome(client.synthesize(new_mel())) == (503, "model-failed")
        assert client.get("/livez") == client.get("/readyz") == 503
    assert len(device.runs) == 2  # the device was not used again
