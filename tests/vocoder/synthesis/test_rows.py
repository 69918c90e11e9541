"""In any company a mel sounds as it does alone."""

import functools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import TINY_MEL, tiny_synthesizer

from vocoder import load
from vocoder.mel.spectrogram import MelSpectrogram
from vocoder.sampling import Utterance

TOLERANCE = 1e-5
VARIANTS = {
    "lapped": ("lapped", {}),
    "lapped, without a source or correction": ("lapped", {"source": None, "corrections": 0}),
    "published kind": ("grouping", {}),
    "reverse, corrected thrice": ("reverse", {"corrections": 3}),
}


@functools.cache
def synthesizer(variant):
    torch.manual_seed(0)
    kind, changes = VARIANTS[variant]
    return tiny_synthesizer(kind, **changes)


def mel_of(frames, level):
    generator = torch.Generator().manual_seed(frames)
    return (level + torch.randn(TINY_MEL.n_mels, frames, generator=generator)).clamp(max=-1.0)


def speech_like_mel(config, seconds=2.0):
    """Return the mel of a gliding tone of many harmonics, with pauses and a little noise."""
    time = torch.arange(0.0, seconds, 1.0 / config.sample_rate, dtype=torch.float64)
    phase = 2.0 * torch.pi * (120.0 * time + 30.0 * time.square())
    tone = sum(torch.sin(n * phase) / n for n in range(1, 30))
    x = 0.2 * tone * (torch.sin(2.5 * torch.pi * time) > -0.5)
    noise = torch.randn(len(time), generator=torch.Generator().manual_seed(0))
    return MelSpectrogram(config)((x.float() + 1e-3 * noise)[None])[0]


@st.composite
def utterances(draw):
    mel = mel_of(draw(st.integers(1, 40)), draw(st.floats(-9.0, -2.0)))
    return Utterance(
        mel,
        sigma=draw(st.one_of(st.none(), st.floats(0.0, 1.5))),
        seed=draw(st.integers(0, 2**63 - 1)),
        denoise=draw(st.sampled_from([0.0, 0.0, 0.3])),
    )


def alone(v, utterance):
    return v.synthesize(utterance.mel, sigma=utterance.sigma, seed=utterance.seed, denoise=utterance.denoise)


def assert_as_alone(v, company):
    for x, utterance in zip(v.synthesize_many(company), company, strict=True):
        expected = alone(v, utterance)
        loudest = max(1.0, float(expected.abs().max()))
        torch.testing.assert_close(x, expected, atol=TOLERANCE * loudest, rtol=0.0)


@pytest.mark.parametrize("variant", VARIANTS)
@settings(max_examples=10, deadline=None, derandomize=True)
@given(company=st.lists(utterances(), min_size=1, max_size=6))
def test_company_changes_nothing(variant, company):
    assert_as_alone(synthesizer(variant), company)


def test_company_changes_nothing_for_the_shipped_model():
    v = load("waveglow", dtype=torch.float32, guard="off")
    mel = speech_like_mel(v.mel_config)
    parts = [mel[:, :44], mel[:, 10:13], mel[:, 20:151], mel[:, 7:8], mel[:, 70:150]]
    sigmas = [0.6, None, 1.0, 0.0, None]
    company = [
        Utterance(part, sigma=sigma, seed=seed, denoise=0.1 * (seed % 2))
        for seed, (part, sigma) in enumerate(zip(parts, sigmas, strict=True))
    ]
    assert_as_alone(v, company)
