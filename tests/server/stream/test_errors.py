import json
from contextlib import suppress

import numpy as np
import pytest
from http_helpers import PROBLEM, metrics
from stream_client import dial
from streamers import mel_of
from websockets.exceptions import ConnectionClosed, InvalidStatus

HELLOS = [
    ("no json", 400, "malformed-body", "The first message cannot be read as JSON"),
    ("[]", 422, "invalid-parameter", "object"),
    ('{"format": "npy"}', 422, "invalid-parameter", "format"),
    ('{"model": "nobody"}', 404, "unknown-model", "streamer"),
    ('{"preset": "auto"}', 422, "invalid-parameter", "needs the whole mel"),
    ('{"seed": 1, "sigma": 1, "seed": 1}', 400, "malformed-body", "seed: give it once"),
    ('{"loudness": -20}', 422, "invalid-parameter", "streams; use gain"),
    ('{"sample_rate": 1234}', 422, "unsupported-sample-rate", "22050"),
    (b"\0\0\0\0", 400, "malformed-body", "must be a text message"),
    ('{"model": "' + 20000 * "x" + '"}', 413, "body-too-large", "16384"),
]
NAN = np.full((80, 4), np.nan, np.float32)
FRAMES = [
    ([bytes(81)], 400, "malformed-body", "320 bytes each"),
    ([b""], 400, "malformed-body", "whole frames"),
    (["more"], 400, "malformed-body", "end"),
    ([mel_of(5), '{"end": true, "end": true}'], 400, "malformed-body", '{"end": true}'),
    ([mel_of(5), '{"end": 1}'], 400, "malformed-body", '{"end": true}'),
    (['{"end": true}'], 422, "invalid-mel", "no frames"),
    ([mel_of(5), '{"end": true}', mel_of(1)], 400, "malformed-body", "Nothing may follow"),
    ([mel_of(5), NAN], 422, "invalid-mel", "not finite"),
]


def test_invalid_messages_are_rejected(url, streamer):
    for hello, status, slug, detail in HELLOS:
        with dial(url) as client:
            client.connection.send(hello)
            problem, code, reason = client.problem()
        assert (problem["type"], problem["status"], code, reason) == (PROBLEM + slug, status, 4000 + status, slug)
        assert detail in problem["detail"]
        assert problem["request_id"]
    with dial(url, "?bogus=1") as client:
        assert client.problem()[0]["detail"].startswith("bogus: put options into the first")
    for messages, status, slug, detail in FRAMES:
        if slug == "malformed-body" and len(messages) > 1:
            streamer.gate.clear()  # the error is reported although audio is pending
        with dial(url) as client:
            client.begin()
            for message in messages:
                client.send(message) if isinstance(message, np.ndarray) else client.connection.send(message)
            problem, code, reason = client.problem()
        streamer.gate.set()
        assert (problem["type"], code, reason) == (PROBLEM + slug, 4000 + status, slug)
        assert detail in problem["detail"]


def test_large_or_missing_messages_close_the_connection(ready, streamer):
    with ready(streamer) as url, dial(url) as client:
        client.begin()
        with suppress(ConnectionClosed):  # too large for socket buffers: the server closes meanwhile
            client.connection.send(bytes(2**23))
        assert client.closed() == (1009, "frame with 8388608 bytes exceeds limit of 1048576 bytes")
    with ready(streamer, body_timeout=0.2) as url, dial(url) as client:
        client.begin()
        problem, code, _ = client.problem()
        assert (problem["type"], code) == (f"{PROBLEM}body-timeout", 4408)
        assert 'vocoder_rejected_total{reason="body-timeout"} 1.0' in metrics(url)


def test_streams_require_keys_and_count_quotas(ready, streamer, tmp_path, caplog):
    keys = tmp_path / "keys"
    keys.write_text("alice:open-sesame-1234567 frames_per_minute=100\n")
    with ready(streamer, api_keys_file=keys) as url:
        with pytest.raises(InvalidStatus) as rejected, dial(url):
            pass
        assert (rejected.value.response.status_code, caplog.text) == (401, "")  # not logged as a fault of the server
        assert json.loads(rejected.value.response.body)["type"] == f"{PROBLEM}unauthorized"
        with dial(url, additional_headers={"Authorization": "Bearer open-sesame-1234567"}) as client:
            client.begin()
            client.send(mel_of(60))
            client.send(mel_of(60))
            problem, code, reason = client.problem()
            assert (problem["quota"], code, reason) == ("frames", 4429, "rate-limited")
            assert 1 <= problem["retry_after"] <= 60


def test_a_full_queue_rejects_new_streams(ready, streamer, wait_until):
    with ready(streamer, queue_size=1) as url:
        entered = streamer.entered
        streamer.gate.clear()
        with dial(url) as first, dial(url) as second, dial(url) as third:
            for one in (first, second):
                one.begin()
            first.send(mel_of(30))
            wait_until(lambda: streamer.entered == entered + 1)
            second.send(mel_of(30))
            wait_until(lambda: 'vocoder_queued_requests{model="streamer"} 1.0' in metrics(url))
            third.hello()
            problem, code, reason = third.problem()
            assert (code, reason) == (4503, "queue-full")
            assert 1 <= problem["retry_after"] <= 60
            streamer.gate.set()
            for one in (first, second):  # admitted streams wait for their turn
                one.end()
                assert len(one.rest()[0]) == 30 * 256 * 2
