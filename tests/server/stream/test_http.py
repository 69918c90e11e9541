"""POST /v1/synthesize?stream=1 over real sockets."""

import io

import httpx
import numpy as np
import pytest
import soundfile
from handshakes import answer_of, connected, post, read_until_closed
from http_helpers import TIMEOUT, metrics, npy, slug
from stream_client import dial, synthesize
from streamers import mel_of

from vocoder import __version__
from vocoder.audio.resampling import resample
from vocoder.audio.writing import Origin, audio_info

HOP = 256


def begin(url, mel, **options):
    """Open a stream: `with begin(...) as answer`."""
    query = {"stream": 1, "seed": 1, **options}
    return httpx.stream("POST", f"{url}/v1/synthesize", params=query, content=npy(mel), timeout=TIMEOUT)


def test_headers_and_metrics_of_a_stream(ready, streamer):
    with ready(streamer, origin=False) as url:
        with begin(url, mel_of(100), seed=4) as answer:
            assert answer.headers["transfer-encoding"] == "chunked"
            assert "content-length" not in answer.headers
            assert (answer.headers["x-accel-buffering"], answer.headers["x-seed"]) == ("no", "4")
            assert answer.headers["x-audio-samples"] == str(100 * HOP)
            assert answer.headers["content-type"] == "audio/wav"
            assert len(answer.read()) == 44 + 2 * 100 * HOP
        counted = metrics(url)
    assert 'vocoder_first_audio_seconds_count{route="/v1/synthesize"} 1.0' in counted
    assert 'vocoder_open_streams{route="/v1/synthesize"} 0.0' in counted
    assert 'vocoder_frames_total{model="streamer"} 100.0' in counted


def test_the_first_audio_is_sent_before_the_last_is_computed(url, streamer):
    streamer.shut_after = 1
    with begin(url, mel_of(200), format="pcm") as answer:
        pieces = answer.iter_raw()
        assert len(next(pieces)) == 2 * 8 * HOP
        streamer.gate.set()
        assert 2 * 8 * HOP + sum(map(len, pieces)) == 2 * 200 * HOP


def test_errors_before_the_first_audio_are_problems(url, streamer):
    for mel, expected in ((mel_of(5) * np.nan, (422, "invalid-mel")), (mel_of(5), (500, "synthesis-failed"))):
        with begin(url, mel) as answer:
            answer.read()
            assert slug(answer) == expected
        streamer.fault = RuntimeError("secret")
    sent = post("/v1/synthesize?stream=1", npy(mel_of(5))).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    with connected(url, sent) as connection:
        answer = read_until_closed(connection)
    assert (answer[:13], b"upgrade-required" in answer) == (b"HTTP/1.1 426 ", True)


def test_errors_after_the_first_byte_abort_the_body(url, streamer):
    streamer.fault, streamer.fault_at = RuntimeError("secret"), 8
    with begin(url, mel_of(100)) as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            answer.read()
    assert 'vocoder_problems_total{problem="stream-broken"} 1.0' in metrics(url)
    streamer.fault = None
    with begin(url, mel_of(10), format="pcm") as answer:
        assert len(answer.read()) == 2 * 10 * HOP


def test_disconnecting_stops_the_synthesis(url, streamer, wait_until):
    streamer.shut_after = 1
    with begin(url, mel_of(500)) as answer:
        next(answer.iter_raw())
    wait_until(lambda: 'vocoder_cancelled_total{model="streamer",stage="streaming"} 1.0' in metrics(url))
    steps = streamer.steps
    streamer.gate.set()
    with begin(url, mel_of(8), format="pcm") as answer:
        assert len(answer.read()) == 2 * 8 * HOP
    assert streamer.steps <= steps + 2  # the running one and that of the other client


def test_a_slow_reader_does_not_block_others(url, streamer, wait_until):
    mel = mel_of(1000)
    sent = post("/v1/synthesize?stream=1&format=pcm_f32&sample_rate=96000&seed=1", npy(mel))
    with connected(url, sent, window=4096) as slow:
        wait_until(streamer.has_stalled)
        assert 0 < streamer.steps < 1000 // 64
        with begin(url, mel_of(300), format="pcm_f32") as answer:
            x = np.frombuffer(answer.read(), "<f4")
        np.testing.assert_allclose(x, streamer.synthesize(mel_of(300), seed=1), atol=1e-6)
        _, reply = answer_of(slow)
    expected = resample(streamer.synthesize(mel, seed=1), 22050, 96000)
    np.testing.assert_allclose(np.frombuffer(reply, "<f4"), expected, atol=1e-5)


def test_streams_contain_their_origin(ready, streamer):
    for settings, expected in (({}, Origin("streamer", __version__, 4, dtype="float32")), ({"origin": False}, None)):
        with ready(streamer, **settings) as url, dial(url) as client:
            bodies = [synthesize(client, mel_of(100), format="wav", seed=4)[0]]
            for name in ("wav", "wav_f32", "flac", "opus"):
                with begin(url, mel_of(100), seed=4, format=name) as answer:
                    bodies.append(answer.read())
                    samples = int(answer.headers["X-Audio-Samples"])  # in flac's header too, for libsndfile
                    assert soundfile.info(io.BytesIO(bodies[-1])).frames == samples
                    assert Origin.of_json(answer.headers.get("X-Audio-Origin", "")) == expected
        assert [audio_info(io.BytesIO(body)).origin for body in bodies] == [expected] * 5
