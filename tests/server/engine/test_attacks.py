"""One client cannot block others, over real sockets: floods of /mel, one key on many connections."""

import threading
import time
from contextlib import ExitStack

import handshakes
import httpx
import numpy as np
import pytest
from handshakes import connected
from http_helpers import TIMEOUT, encoded, metric, metrics, npy

from server.routes import mel as mel_route

KEYS = {"greedy": "g" * 24, "other": "o" * 24}
WAV = encoded(0.3 * np.sin(np.linspace(0.0, 3000.0, 11025)))


@pytest.fixture
def keys(tmp_path):
    path = tmp_path / "keys"
    path.write_text("".join(f"{name}:{key}\n" for name, key in KEYS.items()))
    return path


class Extraction:
    """Blocks the work on each audio file and counts the files."""

    def __init__(self, monkeypatch):
        self.go = threading.Semaphore(0)
        self.begun = self.ended = 0
        monkeypatch.setattr("server.routes.mel.extract", self._extract)

    def _extract(self, *_):
        self.begun += 1
        assert self.go.acquire(timeout=TIMEOUT)
        self.ended += 1
        return np.zeros((80, 4), np.float32)


def post(url, content, key=None, **headers):
    if key is not None:
        headers["Authorization"] = f"Bearer {KEYS[key]}"
    return httpx.post(url, content=content, headers=headers, timeout=TIMEOUT)


def test_a_flood_of_audio_files_does_not_block_synthesis(ready, new_mel, pool, wait_until, monkeypatch):
    work = Extraction(monkeypatch)
    with ready() as url:
        mels = [pool.submit(post, f"{url}/mel", WAV) for _ in range(8)]
        wait_until(lambda: work.begun == 1)
        late = post(f"{url}/synthesize", npy(new_mel()), **{"X-Deadline-Ms": "50"})
        assert late.status_code == 504  # the only lane is blocked
        waiting = pool.submit(post, f"{url}/synthesize", npy(new_mel()))
        wait_until(lambda: 'queued_requests{model="fake"} 1.0' in metrics(url))
        work.go.release()
        assert waiting.result(TIMEOUT).status_code == 200
        assert work.ended <= 2  # of 8
        work.go.release(100)
        assert {answer.result(TIMEOUT).status_code for answer in mels} == {200}


def test_no_mel_is_computed_for_disconnected_clients(ready, wait_until, monkeypatch):
    work = Extraction(monkeypatch)
    with ready() as url:
        with ExitStack() as stack:
            for _ in range(6):
                stack.enter_context(connected(url, handshakes.post("/mel", WAV)))
            wait_until(lambda: work.begun == 1)
        wait_until(lambda: "in_flight_requests 1.0" in metrics(url))
        work.go.release(100)
        assert post(f"{url}/mel", WAV).status_code == 200
    assert work.begun == 1 + 1


def test_audio_files_that_would_wait_too_long_are_rejected(ready, pool, wait_until, monkeypatch):
    work = Extraction(monkeypatch)
    with ready(max_wait=0.02) as url:  # the initial estimate for a mel is 0.01 s
        first = pool.submit(post, f"{url}/mel", WAV)
        wait_until(lambda: work.begun == 1)
        answers = [pool.submit(post, f"{url}/mel", WAV) for _ in range(5)]
        wait_until(lambda: any(answer.done() for answer in answers))
        rejected = next(answer for answer in answers if answer.done()).result()
        assert (rejected.status_code, "retry-after" in rejected.headers) == (503, True)
        assert "would wait about 1 s, and this server allows 0.02 s" in rejected.json()["detail"]
        work.go.release(100)
        assert first.result(TIMEOUT).status_code == 200


def test_waiting_files_are_not_decoded_and_unread_mels_count_as_held_bytes(ready, keys, pool, monkeypatch):
    done, read, mel_of = [], mel_route.read_audio, mel_route.mel_of
    slow = lambda *a, **k: (done.append("read"), time.sleep(0.2), read(*a, **k))[2]  # noqa: E731 - other requests arrive meanwhile
    monkeypatch.setattr(mel_route, "read_audio", slow)
    monkeypatch.setattr(mel_route, "mel_of", lambda *a: (done.append("mel"), mel_of(*a))[1])
    with ready(api_keys_file=keys) as url:
        mels = [pool.submit(post, f"{url}/mel", WAV, key) for key in KEYS]
        assert {answer.result(TIMEOUT).status_code for answer in mels} == {200}
    assert done == ["read", "mel"] * 2
    long = handshakes.post("/mel", encoded(np.zeros(10**6), container="FLAC"))
    with ready() as url, connected(url, long, window=4096) as unread:
        assert handshakes.head_of(unread).startswith(b"HTTP/1.1 200 ")
        assert metric(url, "vocoder_held_bytes") == 4 * 80 * (1 + 10**6 // 256)


def test_one_key_with_many_connections_does_not_fill_the_queue(ready, fake, new_mel, keys, pool, wait_until):
    with ready(api_keys_file=keys, queue_size=4, frames_per_minute=120) as url:
        fake.gate.clear()
        entered = fake.entered
        greedy = [pool.submit(post, f"{url}/synthesize", npy(new_mel()), "greedy") for _ in range(9)]
        wait_until(lambda: fake.entered > entered and sum(answer.done() for answer in greedy) == 4)
        others = [pool.submit(post, f"{url}/synthesize", npy(new_mel()), "other") for _ in range(2)]
        wait_until(lambda: sum(answer.done() for answer in greedy) == 6)  # two were displaced
        fake.gate.set()
        assert [answer.result(TIMEOUT).status_code for answer in others] == [200, 200]
        assert sorted(answer.result(TIMEOUT).status_code for answer in greedy) == [200] * 3 + [503] * 6
        assert post(f"{url}/synthesize", npy(new_mel(frames=84)), "greedy").status_code == 200  # 36 were charged


def test_a_frame_with_many_corrections_counts_as_several(ready, new_mel, keys):
    with ready(api_keys_file=keys, frames_per_minute=1000) as url:
        address, mel = f"{url}/synthesize?corrections=", npy(new_mel(frames=100))
        assert [post(address + "100", mel, "greedy").status_code for _ in range(2)] == [200, 429]
        assert {post(address + "0", mel, "other").status_code for _ in range(9)} == {200}
