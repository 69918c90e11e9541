import functools

import pytest
import recordings
import torch
from exactness import assert_same
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import TINY_MEL, tiny_synthesizer

from vocoder import load
from vocoder.sampling import Utterance, sampling_fields

VARIANTS = {
    "lapped": ("lapped", {}),
    "lapped, without a source or correction": ("lapped", {"source": None, "corrections": 0}),
    "published": ("grouping", {}),
    "published, with actnorm": ("grouping", {"actnorm": True}),
    "reverse, three corrections": ("reverse", {"corrections": 3}),
}


@functools.cache
def synthesizer(variant):
    torch.manual_seed(0)
    kind, changes = VARIANTS[variant]
    return tiny_synthesizer(kind, **changes)


def mel_of(frames, level):
    generator = torch.Generator().manual_seed(frames)
    return (level + torch.randn(TINY_MEL.n_mels, frames, generator=generator)).clamp(max=-1.0)


@st.composite
def utterances(draw):
    mel = mel_of(draw(st.integers(1, 40)), draw(st.floats(-9.0, -2.0)))
    sigma, seed = draw(st.one_of(st.none(), st.floats(0.0, 1.5))), draw(st.integers(0, 2**63 - 1))
    return Utterance(mel, sigma=sigma, seed=seed, denoise=draw(st.sampled_from([0.0, 0.0, 0.3])))


def assert_same_as_alone(v, row):
    # Products round differently with other numbers of rows (AVX-512), and corrections amplify that.
    tolerance = 3e-5 if v.model.config.corrections else 1e-5
    for x, utterance in zip(v.synthesize_many(row), row, strict=True):
        assert_same(x, v.synthesize(utterance.mel, **sampling_fields(utterance)), tolerance)


@pytest.mark.parametrize("variant", VARIANTS)
@settings(max_examples=10, derandomize=True)
@given(row=st.lists(utterances(), min_size=1, max_size=6))
def test_sharing_a_row_does_not_change_the_audio(variant, row):
    assert_same_as_alone(synthesizer(variant), row)


def test_sharing_a_row_does_not_change_the_audio_of_the_shipped_model():
    v = load("waveglow", dtype=torch.float32, guard="off")
    mel = recordings.mel_of(v.mel_config)
    parts = [mel[:, :44], mel[:, 10:13], mel[:, 20:151], mel[:, 7:8], mel[:, 70:150]]
    given = enumerate(zip(parts, [0.6, None, 1.0, 0.0, None], strict=True))
    row = [Utterance(part, sigma=sigma, seed=i, denoise=0.1 * (i % 2)) for i, (part, sigma) in given]
    assert_same_as_alone(v, row)
