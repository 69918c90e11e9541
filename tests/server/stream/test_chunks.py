"""Chunks of a stream whose mel is there: few, and in time for a listener, however fast and busy the server is."""

from types import SimpleNamespace

import numpy as np
import pytest
from exactness import assert_same
from streamers import mel_of
from tiny_models import TINY_MEL, tiny_synthesizer

from server.audio.formats import STREAM_FORMATS, Level, OutputSpec
from server.engine.jobs import Synthesis
from server.stream.audio import AudioStream, Playback
from server.telemetry.metrics import Metrics
from vocoder.adapt.path import MelPath, Placement
from vocoder.sampling import Sampling

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
    stream = AudioStream(SimpleNamespace(metrics=Metrics()), engine, Sampling(seed=1), output, placement, "/v1/stream")
    stream.playback = Playback(lambda: engine.now)
    return stream


@pytest.mark.parametrize(
    ("frames", "speed", "sizes"),
    [
        (0, 50, [16, 384]),
        (1, 50, [16, 384]),
        (8, 50, [32, 368]),
        (0, 4.8, [32, 96, 272]),
        (43, 4.8, [80, 128, 192]),
    ],
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
    whole = engine.synthesizer.synthesize(mel, seed=1)
    assert_same(np.frombuffer(b"".join(audio), "<f4"), whole)


def test_a_chunk_takes_what_came_while_it_waited():
    engine = PacedEngine(0.0, 50.0)
    stream, mel = stream_of(engine), mel_of(300, TINY_MEL.n_mels)
    stream.push(mel[:, :100])
    stream.taken(stream.next())
    engine.meanwhile = lambda: (stream.push(mel[:, 100:]), stream.end())
    stream.taken(stream.next())
    assert engine.sizes == [16, 284]
