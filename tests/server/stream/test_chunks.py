"""Chunks of a stream: few, and in time for a listener, however fast and busy the server is; a late one is told."""

import time
from types import SimpleNamespace

import numpy as np
import pytest
from answers import metrics
from exactness import assert_same
from streamers import mel_of
from tiny_models import TINY_MEL, tiny_synthesizer

from server.audio.formats import STREAM_FORMATS, Level, OutputSpec
from server.engine.jobs import Synthesis
from server.stream.audio import AudioStream
from server.telemetry.requests import Metrics
from vocoder.adapt.path import MelPath, Placement
from vocoder.sampling import Sampling
from vocoder.synthesis.stream import Playback

FRAME_SECONDS = TINY_MEL.hop_length / TINY_MEL.sample_rate


class PacedEngine:
    """Lets a chunk wait for as long as some frames last, and computes it so many times faster than real time.

    It has a clock of its own. The first chunk goes before all others.
    """

    name = "paced"

    def __init__(self, wait, speed):
        self.synthesizer = tiny_synthesizer("reverse")
        self.model = SimpleNamespace(mel_config=TINY_MEL, cost=lambda corrections: 1.0)
        pace = SimpleNamespace(frames_per_second=speed / FRAME_SECONDS)
        self.queue = SimpleNamespace(pace=pace, expected_wait=lambda: wait)
        self.wait, self.speed, self.now, self.sizes, self.expected = wait, speed, 0.0, [], []
        self.meanwhile = lambda: None

    def run(self, step, *, frames, listened, **_):
        self.meanwhile()
        self.expected.append(frames)
        x = step(self.synthesizer)
        self.sizes.append(len(x) // TINY_MEL.hop_length)
        self.now += (0.0 if listened else self.wait) + self.sizes[-1] * FRAME_SECONDS / self.speed
        return Synthesis(x, TINY_MEL.sample_rate, 0.0, 0.0)


def stream_of(engine):
    pcm = next(offer for offer in STREAM_FORMATS if offer.name == "pcm_f32")
    output, placement = OutputSpec(pcm, TINY_MEL.sample_rate, Level(), None), Placement(MelPath(TINY_MEL, TINY_MEL))
    connection = SimpleNamespace(scope={"route": SimpleNamespace(path="/v1/stream")})
    stream = AudioStream(SimpleNamespace(metrics=Metrics()), engine, Sampling(seed=1), output, placement, connection)
    stream.playback = Playback(lambda: engine.now)
    return stream


@pytest.mark.parametrize(
    ("frames", "speed", "sizes"),
    [(0, 50, [16, 384]), (1, 50, [16, 384]), (8, 50, [32, 368]), (0, 4.8, [32, 96, 272]), (43, 4.8, [80, 128, 192])],
)
def test_chunks_are_few_and_none_comes_late(frames, speed, sizes):
    engine = PacedEngine(frames * FRAME_SECONDS, speed)
    stream = stream_of(engine)
    mel = mel_of(400, TINY_MEL.n_mels)
    stream.push(mel)
    stream.end()
    audio = []
    while stream.samples < 400 * TINY_MEL.hop_length:
        stream.playback.work()
        audio.append(stream.taken(stream.next()))
    assert stream.playback.dry_seconds == 0.0
    assert engine.sizes == sizes
    assert engine.expected[1:] == sizes[1:]  # the first is more work than its frames
    assert_same(np.frombuffer(b"".join(audio), "<f4"), engine.synthesizer.synthesize(mel, seed=1))


def test_a_chunk_takes_what_came_while_it_waited():
    engine = PacedEngine(0.0, 50.0)
    stream, mel = stream_of(engine), mel_of(300, TINY_MEL.n_mels)
    stream.push(mel[:, :100])
    stream.taken(stream.next())
    engine.meanwhile = lambda: (stream.push(mel[:, 100:]), stream.end())
    stream.taken(stream.next())
    assert engine.sizes == [16, 284]


def test_only_the_server_s_own_time_makes_a_pause():
    now = 0.0
    playback = Playback(lambda: now)
    for wait, work, seconds, late in (
        (5.0, 9.0, 1.0, 0.0),  # the first audio is not late, whenever it comes
        (0.25, 0.5, 2.0, 0.0),
        (0.0, 2.25, 2.5, 1.0),
        (7.0, 0.125, 3.0, 0.125),  # the client took its time, and has nothing left
        (0.0, 0.25, 4.0, 0.0),
    ):
        now += wait
        playback.work()
        now += work
        playback.work()  # what was computed gave no audio yet
        playback.deliver(seconds)
        assert playback.late == pytest.approx(late)
    assert playback.dry_seconds == pytest.approx(1.125)


def test_a_stream_that_ran_dry_is_counted_and_told(talk, streamer, wait_until):
    with talk(streamer) as dial:
        for report in (True, False):
            streamer.shut_after = streamer.steps + 1
            with dial() as speaker:
                speaker.begin(seed=3, report_dry=report)
                speaker.send(mel_of(200))
                speaker.end()
                wait_until(lambda: not streamer.gate.is_set())
                time.sleep(0.3)  # longer than the first chunk plays
                streamer.gate.set()
                _, told = speaker.rest()
                if report:
                    assert told.keys() == {"type", "seconds"}
                    pauses = [told["seconds"]]
                    while (told := speaker.rest()[1])["type"] == "dry":
                        pauses.append(told["seconds"])
                    assert sum(pauses) == pytest.approx(told["dry_seconds"], abs=1e-4)
            assert (told["type"], told["dry_seconds"] > 0.0) == ("done", True)
        assert 'vocoder_dry_streams_total{route="/v1/stream"} 2.0' in metrics(dial.url)
