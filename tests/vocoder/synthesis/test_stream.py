"""Streams of the models as they are published and shipped: exact, as early as can be, and not much more work."""

from collections import Counter
from dataclasses import replace
from functools import partial

import pytest
import torch
from exactness import assert_same
from recordings import mel_of
from tiny_models import TINY_MEL, grouping_config, source_config, stirred, tiny_synthesizer

from vocoder.checkpoint import Checkpoint
from vocoder.layers.stack.wavenet import WaveNetConfig
from vocoder.loading import load
from vocoder.models.waveglow import WaveGlow
from vocoder.stages import Stage
from vocoder.synthesis import runner as runner_module
from vocoder.synthesis.stream import stream_audio
from vocoder.synthesis.synthesizer import Synthesizer

PUBLISHED_MEL = replace(TINY_MEL, n_fft=1024, win_length=1024, hop_length=256)


def shipped():
    return load("waveglow", dtype=torch.float32, guard="off")


def published_shape():
    """A narrow WaveGlow whose steps, dilations and upsampling are those of the published one."""
    stack = WaveNetConfig(channels=4, dilations=(1, 2, 4, 8, 16, 32, 64, 128))
    config = grouping_config(hop_length=256, group_size=8, cond_channels=40, upsample_kernel=1024, stack=stack)
    model = stirred(WaveGlow(config), 0.05)
    return Synthesizer(Checkpoint(model, "waveglow", PUBLISHED_MEL, {}, {}), "published", "cpu", torch.float32)


VOICES = {"shipped": shipped, "published": published_shape, "tiny": partial(tiny_synthesizer, "lapped")}
VOICES |= {kind: partial(tiny_synthesizer, kind) for kind in ("reverse", "spectral")}


OTHERS = {
    "plain": lambda: tiny_synthesizer("grouping", corrections=0, actnorm=True),
    "student of samples": lambda: tiny_synthesizer("student", kind="samples", filter_taps=24, source=source_config()),
    "student of frames": lambda: tiny_synthesizer("student", kind="frames", source=source_config()),
    "wavenet": lambda: tiny_synthesizer("wavenet", lpc=False),
    "mixture": lambda: tiny_synthesizer("wavenet", lpc=False, distribution="logistic", components=3),
}
"""of which only that is asked that their streams are exact"""


@pytest.fixture(scope="module", params=VOICES)
def voice(request):
    torch.manual_seed(0)
    return VOICES[request.param]()


def mel(voice, frames):
    """Speech where the voice is a trained one, noise that is loud where its weights are random."""
    if voice.name == "waveglow":
        return mel_of(voice.mel_config)[:, :frames]
    return -6 + torch.randn(voice.mel_config.n_mels, frames, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", [*VOICES, *OTHERS])
def test_a_stream_is_the_whole_however_frames_come_and_chunks_go(name):
    voice, frames = (VOICES | OTHERS)[name](), 30 if name == "mixture" else 90  # it is slow, sample by sample
    whole = mel(voice, frames)
    expected = voice.synthesize(whole, seed=2, sigma=0.8)
    one_by_one = list(voice.stream((frame for frame in whole.T), seed=2, sigma=0.8))
    assert len(one_by_one) > 1
    assert_same(torch.cat(one_by_one), expected)
    for size in (13, 1000):
        chunks = list(voice.stream(whole, seed=2, sigma=0.8, chunk_frames=size, first_chunk_frames=size))
        assert [len(chunk) for chunk in chunks[:-1]] == [size * voice.hop_length] * ((frames - 1) // size)
        assert_same(torch.cat(chunks), expected)


def test_a_chunk_depends_on_frames_up_to_its_lookahead_and_on_none_beyond(voice):
    first = mel(voice, 60)
    lookahead = voice.open_stream(seed=2).lookahead
    for distance in (lookahead, 0):
        other = first.clone()
        other[:, 8 + distance :] = -1.0
        same = torch.equal(*(next(voice.stream(m, seed=2, first_chunk_frames=8)) for m in (first, other)))
        assert same == (distance == lookahead)


def test_a_stream_computes_few_frames_twice(voice, monkeypatch):
    frames, computed, made = 250, Counter(), Stage.made
    session = voice.open_stream(seed=2)
    session.push(mel(voice, frames))
    session.finish()

    def counted(stage, span, *windows):
        computed[stage.output] += span.last - span.first
        return made(stage, span, *windows)

    monkeypatch.setattr(Stage, "made", counted)
    while not session.done:
        session.next()
    assert len(computed) > 4
    assert max(computed.values()) <= 1.5 * frames


def test_a_teacher_that_hears_its_own_past_says_the_same_in_chunks():
    """Rounding grows in it with every sample, so that what it is told of the mel must be the same to the last bit."""
    wavenet = load("wavenet", dtype=torch.float32, guard="off")
    frames = mel_of(wavenet.mel_config)[:, :150]
    whole = wavenet.synthesize(frames, seed=7)
    torch.testing.assert_close(torch.cat(list(wavenet.stream(frames, seed=7))), whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["tiny", "reverse"])
def test_a_chunk_takes_more_frames_where_they_are_there(name):
    """Long runs take less time by the frame."""
    voice = VOICES[name]()
    x = -6 + torch.randn(voice.mel_config.n_mels, 1300)
    for options, least, most in (({}, 112, 1024), ({"chunk_frames": 32}, 8, 32)):
        sizes = [len(chunk) // voice.hop_length for chunk in voice.stream(x, seed=2, **options)][1:]
        assert (sizes[0] >= least, max(sizes) <= most) == (True, True)


@pytest.mark.parametrize("speed", [1.0, 1.2, 1.9, 100.0])
def test_audio_comes_a_frame_before_the_listener_of_a_mel_that_is_made_as_it_plays_runs_dry(voice, speed):
    now, heard, sizes, left = 0.0, 0.0, [], []
    session, x, played = voice.open_stream(seed=2), mel(voice, 250), voice.hop_length / voice.sample_rate
    session.playback.clock = lambda: now

    def produced():
        nonlocal now
        for number, frame in enumerate(x.T):
            now = number * played / speed
            yield frame

    for chunk in stream_audio(session, produced(), lambda verdict: None):
        left.append(heard - now)
        sizes.append(len(chunk) // voice.hop_length)
        heard = max(heard, now) + sizes[-1] * played
    assert (min(left[1:]) >= played, min(sizes[:-1]) >= 4) == (True, True)
    assert (sizes[:5] == [8, 8, 16, 32, 64]) == (speed == 100.0)


def test_long_mels_are_made_in_parts_that_show_no_seam(voice, monkeypatch):
    m = torch.stack([mel(voice, 100).roll(i, dims=1) for i in range(2)])
    whole = voice.synthesize(m, seed=3, denoise=0.1)
    monkeypatch.setattr(runner_module, "WHOLE_FRAMES", 1)
    monkeypatch.setattr(runner_module, "LEAST_PART_FRAMES", 40)
    monkeypatch.setattr(runner_module, "PART_FRAMES", 40)
    assert_same(voice.synthesize(m, seed=3, denoise=0.1), whole)
