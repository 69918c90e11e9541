"""Audio that nobody reads fills no memory: what requests hold has one limit, the newest are refused, all comes back."""

import gc
import os
from contextlib import ExitStack

import httpx
import psutil
import pytest
from answers import TIMEOUT, metric, npy
from handshakes import connected, head_of, post
from speaker import Speaker
from streamers import Streamer, mel_of
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

MIB = 2**20
CLIENTS = int(os.environ.get("FUZZ_CLIENTS", "12"))
BUDGET = 24 * MIB


def resident():
    gc.collect()
    return int(psutil.Process().memory_info().rss)


@pytest.mark.parametrize("query", ["format=pcm_f32", "format=pcm_f32&stream=1"])
def test_answers_that_nobody_reads(ready, fake, wait_until, query):
    """Each has 5 MB; without the limit all would wait in the memory of the server."""
    stream = "stream" in query
    synthesizer, body = Streamer() if stream else fake, npy(mel_of(4096 + 1024 * stream))
    with ready(synthesizer, max_buffered_bytes=BUDGET, max_frames=8192) as url:
        httpx.post(f"{url}/v1/synthesize?{query}", content=npy(mel_of(4096)), timeout=TIMEOUT)  # loads what it needs
        before = resident()
        with ExitStack() as stack:
            clients = [
                stack.enter_context(connected(url, post(f"/v1/synthesize?{query}", body), window=4096))
                for _ in range(CLIENTS)
            ]
            codes = [int(head_of(client).split()[1]) for client in clients]
            assert set(codes) == {200, 503}
            assert 1 <= codes.count(200) <= 6
            assert resident() - before < 5 * BUDGET
            assert 0 < metric(url, "vocoder_held_bytes") <= 0.75 * BUDGET
            assert metric(url, 'vocoder_rejected_total{reason="busy"}') == codes.count(503)
        wait_until(lambda: metric(url, "vocoder_held_bytes") == 0)
        answer = httpx.post(f"{url}/v1/synthesize", content=npy(mel_of(100)), timeout=TIMEOUT)
        assert answer.status_code == 200


def test_websockets_that_nobody_reads(ready):
    streamer = Streamer()
    with ready(streamer, max_buffered_bytes=BUDGET) as url, ExitStack() as stack:
        refused = 0
        for _ in range(12):
            narrow = stack.enter_context(connected(url, window=4096))
            address = f"{url.replace('http', 'ws', 1)}/v1/stream"
            speaker = Speaker(stack.enter_context(connect(address, sock=narrow, max_queue=1, close_timeout=0.1)))
            speaker.hello(format="pcm_f32")
            try:
                if speaker.text()["type"] == "ready":
                    speaker.send(mel_of(500), 250)
                else:
                    refused += 1
                    assert speaker.closed() == (4503, "busy")
            except ConnectionClosed:
                refused += 1
        assert 0 < refused < 12
        assert 0 < metric(url, "vocoder_held_bytes") <= 0.75 * BUDGET
