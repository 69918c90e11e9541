"""What one client does to the turns of others, over real sockets: floods of /mel, one key on many connections."""

import threading
from contextlib import ExitStack

import handshakes
import httpx
import numpy as np
import pytest
from answers import TIMEOUT, encoded, metrics, npy
from handshakes import connected

KEYS = {"greedy": "g" * 24, "other": "o" * 24}
WAV = encoded(0.3 * np.sin(np.linspace(0.0, 3000.0, 11025)))


@pytest.fixture
def keys(tmp_path):
    path = tmp_path / "keys"
    path.write_text("".join(f"{name}:{key}\n" for name, key in KEYS.items()))
    return path


class Extraction:
    """Holds up the parts of the work on each audio file, and counts them."""

    def __init__(self, monkeypatch):
        self.go = threading.Semaphore(0)
        self.begun = self.ended = 0
        monkeypatch.setattr("server.routes.mel.extract", lambda *_: self._parts())

    def _parts(self):
        for _ in range(2):
            self._part()
            yield 1
        self._part()
        return np.zeros((80, 4), np.float32)

    def _part(self):
        self.begun += 1
        assert self.go.acquire(timeout=TIMEOUT)
        self.ended += 1


def post(url, content, key=None, **headers):
    if key is not None:
        headers["Authorization"] = f"Bearer {KEYS[key]}"
    return httpx.post(url, content=content, headers=headers, timeout=TIMEOUT)


def test_a_flood_of_audio_files_holds_up_no_synthesis(ready, new_mel, pool, wait_until, monkeypatch):
    extraction = Extraction(monkeypatch)
    with ready() as url:
        mels = [pool.submit(post, f"{url}/mel", WAV) for _ in range(8)]
        wait_until(lambda: extraction.begun == 1)
        late = post(f"{url}/synthesize", npy(new_mel()), **{"X-Deadline-Ms": "50"})
        assert late.status_code == 504  # while the one lane is held
        waits = pool.submit(post, f"{url}/synthesize", npy(new_mel()))
        wait_until(lambda: 'queued_requests{model="fake"} 1.0' in metrics(url))
        extraction.go.release()
        assert waits.result(TIMEOUT).status_code == 200
        assert extraction.ended <= 2  # of 24
        extraction.go.release(100)
        assert {answer.result(TIMEOUT).status_code for answer in mels} == {200}


def test_who_leaves_has_no_mel_computed(ready, wait_until, monkeypatch):
    extraction = Extraction(monkeypatch)
    with ready() as url:
        with ExitStack() as stack:
            for _ in range(6):
                stack.enter_context(connected(url, handshakes.post("/mel", WAV)))
            wait_until(lambda: extraction.begun == 1)
        wait_until(lambda: "in_flight_requests 1.0" in metrics(url))
        extraction.go.release(100)
        assert post(f"{url}/mel", WAV).status_code == 200
    assert extraction.begun == 1 + 3


def test_audio_files_wait_no_longer_than_the_longest_wait(ready, pool, wait_until, monkeypatch):
    extraction = Extraction(monkeypatch)
    with ready(max_wait=0.02) as url:  # a mel is guessed to take 0.03 s
        first = pool.submit(post, f"{url}/mel", WAV)
        wait_until(lambda: extraction.begun == 1)
        answers = [pool.submit(post, f"{url}/mel", WAV) for _ in range(2)]
        wait_until(lambda: any(answer.done() for answer in answers))
        refused = next(answer for answer in answers if answer.done()).result()
        assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
        extraction.go.release(100)
        assert first.result(TIMEOUT).status_code == 200


def test_one_key_on_many_connections_leaves_the_queue_to_others(ready, fake, new_mel, keys, pool, wait_until):
    with ready(api_keys_file=keys, queue_size=4) as url:
        fake.gate.clear()
        entered = fake.entered
        greedy = [pool.submit(post, f"{url}/synthesize", npy(new_mel()), "greedy") for _ in range(9)]
        wait_until(lambda: fake.entered > entered and sum(answer.done() for answer in greedy) == 4)
        others = [pool.submit(post, f"{url}/synthesize", npy(new_mel()), "other") for _ in range(2)]
        wait_until(lambda: sum(answer.done() for answer in greedy) == 6)  # two gave way
        fake.gate.set()
        assert [answer.result(TIMEOUT).status_code for answer in others] == [200, 200]
        assert sorted(answer.result(TIMEOUT).status_code for answer in greedy) == [200] * 3 + [503] * 6


def test_a_frame_with_many_corrections_counts_as_several(ready, new_mel, keys):
    with ready(api_keys_file=keys, frames_per_minute=1000) as url:
        address, mel = f"{url}/synthesize?corrections=", npy(new_mel(frames=100))
        assert [post(address + "100", mel, "greedy").status_code for _ in range(2)] == [200, 429]
        assert {post(address + "0", mel, "other").status_code for _ in range(9)} == {200}
