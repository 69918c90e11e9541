"""Chunks of a stream are few and on time for any speed and load of the server, and late ones are reported."""

import time
from types import SimpleNamespace

import numpy as np
import pytest
from exactness import assert_same
from http_helpers import metrics
from stream_client import dial
from streamers import mel_of
from tiny_models import TINY_MEL, tiny_synthesizer

from server.audio.formats import STREAM_FORMATS, Level, OutputSpec
from server.engine.model import LoadedModel
from server.stream.audio import AudioStream
from server.telemetry.requests import Metrics
from vocoder.adapt.path import MelPath, Placement
from vocoder.sampling import Sampling
from vocoder.synthesis.stream import Playback

FRAME_SECONDS = TINY_MEL.hop_length / TINY_MEL.sample_rate


class PacedEngine:
    """Delays all chunks but the first by `wait` seconds; computes `speed` times faster than real time."""

    name = "paced"

    def __init__(self, wait, speed):
        self.synthesizer = tiny_synthesizer("reverse")
        self.model = LoadedModel(self.synthesizer)
        pace = SimpleNamespace(frames_per_second=speed / FRAME_SECONDS)
        self.queue = SimpleNamespace(pace=pace, expected_wait=lambda: wait)
        self.wait, self.speed, self.now, self.sizes, self.expected = wait, speed, 0.0, [], []
        self.meanwhile = lambda: None

    def admit(self, job):
        self.meanwhile()
        self.expected.append(job.frames)
        x = job.next_part()
        self.sizes.append(len(x) // TINY_MEL.hop_length)
        self.now += (0.0 if job.listened else self.wait) + self.sizes[-1] * FRAME_SECONDS / self.speed
        job.finish(x)
        return job


def open_stream(engine):
    pcm = next(offer for offer in STREAM_FORMATS if offer.name == "pcm_f32")
    output, placement = OutputSpec(pcm, TINY_MEL.sample_rate, Level(), None), Placement(MelPath(TINY_MEL, TINY_MEL))
    connection = SimpleNamespace(scope={"route": SimpleNamespace(path="/v1/stream")})
    stream = AudioStream(SimpleNamespace(metrics=Metrics()), engine, Sampling(seed=1), output, placement, connection)
    stream.playback = Playback(lambda: engine.now)
    return stream


@pytest.mark.parametrize(
    ("frames", "speed", "first"),
    [(0, 50, [16]), (1, 50, [32]), (8, 50, [240]), (9, 50, []), (0, 140, []), (0, 4.8, [32, 96]), (43, 4.8, [128])],
)
def test_chunks_are_few_and_never_late(frames, speed, first, monkeypatch):
    sizes = [*first, 400 - sum(first)]
    monkeypatch.setattr("server.stream.audio.UNNOTICED", 5 * FRAME_SECONDS)  # with 8 of wait, enough for 390 frames
    engine = PacedEngine(frames * FRAME_SECONDS, speed)
    stream = open_stream(engine)
    mel = mel_of(400, TINY_MEL.n_mels)
    stream.push(mel)
    stream.end()
    audio = []
    while stream.samples < 400 * TINY_MEL.hop_length:
        stream.playback.work()
        audio.append(stream.taken(stream.next()))
    assert stream.playback.dry_seconds == 0.0
    assert engine.sizes == sizes
    assert engine.expected[1:] == sizes[1:]  # the first one includes extra work
    assert_same(np.frombuffer(b"".join(audio), "<f4"), engine.synthesizer.synthesize(mel, seed=1))


def test_a_chunk_includes_frames_that_arrived_while_it_waited():
    engine = PacedEngine(0.0, 50.0)
    stream, mel = open_stream(engine), mel_of(300, TINY_MEL.n_mels)
    stream.push(mel[:, :100])
    stream.taken(stream.next())
    engine.meanwhile = lambda: (stream.push(mel[:, 100:]), stream.end())
    stream.taken(stream.next())
    assert engine.sizes == [16, 284]


def test_only_delays_by_the_server_count_as_dry():
    now = 0.0
    playback = Playback(lambda: now)
    for wait, work, seconds, late in (
        (5.0, 9.0, 1.0, 0.0),  # the first audio is never late
        (0.25, 0.5, 2.0, 0.0),
        (0.0, 2.25, 2.5, 1.0),
        (7.0, 0.125, 3.0, 0.125),  # the client was slow and its audio has run out
        (0.0, 0.25, 4.0, 0.0),
    ):
        now += wait
        playback.work()
        now += work
        playback.work()  # a step without audio
        playback.deliver(seconds)
        assert playback.late == pytest.approx(late)
    assert playback.dry_seconds == pytest.approx(1.125)


def test_streams_that_run_dry_are_counted_and_reported(url, streamer, wait_until):
    for report in (True, False):
        streamer.shut_after = streamer.steps + 1
        with dial(url) as client:
            client.begin(seed=3, report_dry=report)
            client.send(mel_of(200))
            client.end()
            wait_until(lambda: not streamer.gate.is_set())
            time.sleep(0.3)  # longer than the first chunk lasts
            streamer.gate.set()
            _, message = client.rest()
            if report:
                assert message.keys() == {"type", "seconds"}
                pauses = [message["seconds"]]
                while (message := client.rest()[1])["type"] == "dry":
                    pauses.append(message["seconds"])
                assert sum(pauses) == pytest.approx(message["dry_seconds"], abs=1e-4)
        assert (message["type"], message["dry_seconds"] > 0.0) == ("done", True)
    assert 'vocoder_dry_streams_total{route="/v1/stream"} 2.0' in metrics(url)
