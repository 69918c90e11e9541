"""Streams are exact, start as early as possible and do little extra work."""

from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import chain

import pytest
import torch
from exactness import assert_same
from recordings import mel_of
from tiny_models import TINY_MEL, grouping_config, perturbed, source_config, tiny_synthesizer

from vocoder.checkpoint import Checkpoint
from vocoder.layers.stack.wavenet import WaveNetConfig
from vocoder.loading import load
from vocoder.models.waveglow import WaveGlow
from vocoder.stages import Stage
from vocoder.synthesis import runner as runner_module
from vocoder.synthesis.stream import stream_audio
from vocoder.synthesis.synthesizer import Synthesizer

PUBLISHED_MEL = replace(TINY_MEL, n_fft=1024, win_length=1024, hop_length=256)


def narrow_waveglow():
    """Return a narrow WaveGlow with the steps, dilations and upsampling of the published one."""
    stack = WaveNetConfig(channels=4, dilations=(1, 2, 4, 8, 16, 32, 64, 128))
    config = grouping_config(hop_length=256, group_size=8, cond_channels=40, upsample_kernel=1024, stack=stack)
    model = perturbed(WaveGlow(config), 0.05)
    return Synthesizer(Checkpoint(model, "waveglow", PUBLISHED_MEL, {}, {}), "published", "cpu", torch.float32)


SHIPPED = partial(load, "waveglow", dtype=torch.float32, guard="off")
MODELS = {"shipped": SHIPPED, "published": narrow_waveglow, "tiny": partial(tiny_synthesizer, "lapped")}
MODELS |= {kind: partial(tiny_synthesizer, kind) for kind in ("reverse", "spectral")}
OTHER_MODELS = {
    "plain": lambda: tiny_synthesizer("grouping", corrections=0, actnorm=True),
    "student of samples": lambda: tiny_synthesizer("student", kind="samples", filter_taps=24, source=source_config()),
    "student of frames": lambda: tiny_synthesizer("student", kind="frames", source=source_config()),
    "wavenet": lambda: tiny_synthesizer("wavenet", lpc=False),
    "mixture": lambda: tiny_synthesizer("wavenet", lpc=False, distribution="logistic", components=3),
}
"""models tested only for exact streams"""


@pytest.fixture(scope="module", params=MODELS)
def v(request):
    torch.manual_seed(0)
    return MODELS[request.param]()


def mel(v, frames):
    """Return a mel of speech for a trained model, or a loud random one for random weights."""
    if v.name == "waveglow":
        return mel_of(v.mel_config)[:, :frames]
    return -6 + torch.randn(v.mel_config.n_mels, frames, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", [*MODELS, *OTHER_MODELS])
def test_a_stream_equals_the_whole_for_any_input_pieces_and_chunk_sizes(name):
    v, frames = (MODELS | OTHER_MODELS)[name](), 30 if name == "mixture" else 90  # slow
    whole = mel(v, frames)
    expected = v.synthesize(whole, seed=2, sigma=0.8)
    pieces = chain([whole[:, :0]], map(whole[:, 0].clone().copy_, whole.T))  # in one buffer
    one_by_one = list(v.stream(pieces, seed=2, sigma=0.8))
    assert len(one_by_one) > 1
    assert_same(torch.cat(one_by_one), expected)
    for size in (13, 1000):
        chunks = list(v.stream(whole, seed=2, sigma=0.8, chunk_frames=size, first_chunk_frames=size))
        assert [len(chunk) for chunk in chunks[:-1]] == [size * v.hop_length] * ((frames - 1) // size)
        assert_same(torch.cat(chunks), expected)


def test_a_chunk_depends_on_frames_up_to_its_lookahead_only(v):
    first = mel(v, 60)
    lookahead = v.open_stream(seed=2).lookahead
    for distance in (lookahead, 0):
        other = first.clone()
        other[:, 8 + distance :] = -1.0
        same = torch.equal(*(next(v.stream(m, seed=2, first_chunk_frames=8)) for m in (first, other)))
        assert same == (distance == lookahead)


def test_a_stream_computes_few_frames_more_than_once(v, monkeypatch):
    frames, computed, made = 250, Counter(), Stage.made
    session = v.open_stream(seed=2)
    session.push(mel(v, frames))
    session.finish()

    def counted(stage, span, *windows):
        computed[stage.output] += span.last - span.first
        return made(stage, span, *windows)

    monkeypatch.setattr(Stage, "made", counted)
    while not session.done:
        session.next()
    assert len(computed) > 4
    assert max(computed.values()) <= 1.5 * frames


def test_an_autoregressive_teacher_gives_the_same_audio_in_chunks():
    """Rounding errors grow with every sample, so its conditioning must be the same to the last bit."""
    wavenet = load("wavenet", dtype=torch.float32, guard="off")
    frames = mel_of(wavenet.mel_config)[:, :150]
    whole = wavenet.synthesize(frames, seed=7)
    torch.testing.assert_close(torch.cat(list(wavenet.stream(frames, seed=7))), whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["tiny", "reverse"])
def test_chunks_grow_with_the_number_of_available_frames(name):
    """Long runs take less time per frame."""
    v = MODELS[name]()
    x = -6 + torch.randn(v.mel_config.n_mels, 1300)
    for options, least, most in (({}, 112, 1024), ({"chunk_frames": 32}, 8, 32)):
        sizes = [len(chunk) // v.hop_length for chunk in v.stream(x, seed=2, **options)][1:]
        assert (sizes[0] >= least, max(sizes) <= most) == (True, True)


@pytest.mark.parametrize("speed", [1.0, 1.2, 1.9, 100.0])
def test_playback_of_a_mel_generated_meanwhile_never_runs_out_of_audio(v, speed):
    now, played_until, sizes, margins = 0.0, 0.0, [], []
    session, x, frame_seconds = v.open_stream(seed=2), mel(v, 250), v.hop_length / v.sample_rate
    session.playback.clock = lambda: now

    def produced():
        nonlocal now
        for number, frame in enumerate(x.T):
            now = number * frame_seconds / speed
            yield frame

    for chunk in stream_audio(session, produced(), lambda verdict: None):
        margins.append(played_until - now)
        sizes.append(len(chunk) // v.hop_length)
        played_until = max(played_until, now) + sizes[-1] * frame_seconds
    assert (min(margins[1:]) >= frame_seconds, min(sizes[:-1]) >= 4) == (True, True)
    assert (sizes[:5] == [8, 8, 16, 32, 64]) == (speed == 100.0)


def test_long_mels_are_synthesized_in_parts_without_seams(v, monkeypatch):
    m = torch.stack([mel(v, 100).roll(i, dims=1) for i in range(2)])
    whole = v.synthesize(m, seed=3, denoise=0.1)
    monkeypatch.setattr(runner_module, "WHOLE_FRAMES", 1)
    monkeypatch.setattr(runner_module, "LEAST_PART_FRAMES", 40)
    monkeypatch.setattr(runner_module, "PART_FRAMES", 40)
    assert_same(v.synthesize(m, seed=3, denoise=0.1), whole)
