from contextlib import ExitStack

import numpy as np
from handshakes import connected
from http_helpers import PROBLEM, TIMEOUT, metrics
from stream_client import dial, synthesize
from streamers import mel_of

from vocoder.audio.resampling import resample


def test_errors_after_the_first_audio_are_reported(url, streamer):
    streamer.fault, streamer.fault_at = RuntimeError("secret"), 8
    with dial(url) as client:
        client.begin()
        client.send(mel_of(100))
        assert len(client.connection.recv(TIMEOUT)) == 8 * 256 * 2
        problem, code, reason = client.problem()
        assert (problem["type"], code, reason) == (f"{PROBLEM}synthesis-failed", 4500, "synthesis-failed")
        assert "secret" not in problem["detail"]
        streamer.fault = None
        with dial(url) as another:
            assert len(synthesize(another, mel_of(10))[0]) == 10 * 256 * 2


def test_disconnecting_stops_the_synthesis(url, streamer, wait_until):
    with dial(url) as client:
        client.begin()
        entered = streamer.entered
        streamer.gate.clear()
        client.send(mel_of(500))
        wait_until(lambda: streamer.entered == entered + 1)
    wait_until(lambda: 'vocoder_cancelled_total{model="streamer",stage="streaming"} 1.0' in metrics(url))
    streamer.gate.set()
    with dial(url) as another:
        assert len(synthesize(another, mel_of(10))[0]) == 10 * 256 * 2
    assert 'vocoder_problems_total{problem="client-disconnected"} 1.0' in metrics(url)
    assert streamer.steps <= 3  # one for the disconnected client, two for the other


def test_a_slow_reader_does_not_block_others(url, streamer, wait_until):
    mel, options = mel_of(3000), {"format": "pcm_f32", "sample_rate": 96000, "seed": 1}
    with connected(url, window=4096) as narrow, dial(url, sock=narrow, max_queue=1) as slow:
        slow.begin(**options)
        slow.send(mel[:, :1000])
        wait_until(streamer.has_stalled)
        assert 0 < streamer.steps < 1000 // 64
        with dial(url) as another:
            audio, _ = synthesize(another, mel_of(300), seed=9)
        assert np.abs(np.frombuffer(audio, "<i2") - 32767.0 * streamer.synthesize(mel_of(300), seed=9)).max() < 1.0
        slow.end()
        audio, done = slow.rest()
    expected = resample(streamer.synthesize(mel[:, :1000], seed=1), 22050, 96000)
    np.testing.assert_allclose(np.frombuffer(audio, "<f4"), expected, atol=1e-5)
    assert done["frames"] == 1000


def test_clients_that_do_not_read_are_disconnected(ready, streamer, wait_until):
    with ready(streamer, send_timeout=0.2) as url, ExitStack() as stack:
        narrow = stack.enter_context(connected(url, window=4096))
        unread = stack.enter_context(dial(url, sock=narrow, max_queue=1, close_timeout=0.1))
        unread.begin(format="pcm_f32", sample_rate=96000)
        unread.send(mel_of(1000))
        wait_until(lambda: 'stage="streaming"} 1.0' in metrics(url))


def test_a_stopping_server_closes_streams_with_a_code(ready, streamer):
    with ExitStack() as stack:
        with ready(streamer, drain_timeout=1.0) as url:
            client = stack.enter_context(dial(url))
            client.begin()
        assert client.closed()[0] == 1012
