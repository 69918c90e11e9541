"""Mels of other conventions, spoken: at once, in rows, and in streams."""

from typing import Any

import numpy as np
import pytest
import recordings
import torch
from tiny_models import random_voice

from vocoder.adapt.path import accepted_presets
from vocoder.mel.config import preset
from vocoder.sampling import Utterance
from vocoder.synthesis.synthesizer import Synthesizer

NAMES = ("hifigan", "espnet", "vocos", "tacotron2-tf", "speecht5")
"""exact and later; other bands; another rate and number of bands; another range; another hop in seconds"""


@pytest.fixture(scope="module")
def voice() -> Synthesizer:
    return random_voice()


def mel_of(name: str, seconds: float = 0.5) -> Any:
    config = preset(name)
    return recordings.mel_of(name)[:, : int(seconds * config.sample_rate / config.hop_length)].numpy()


@pytest.mark.parametrize("name", NAMES)
def test_the_audio_is_as_long_as_the_mel_and_a_stream_is_the_whole(voice: Synthesizer, name: str) -> None:
    config, mel = preset(name), mel_of(name)
    x = voice.synthesize(mel, seed=1, preset=name)
    assert len(x) == round(mel.shape[1] * config.hop_length * 22050 / config.sample_rate)
    assert voice.path(name).adapted == (None if name == "hifigan" else name)
    batch = voice.synthesize(torch.from_numpy(np.stack([mel, mel])), seed=1, preset=config)
    np.testing.assert_allclose(batch[0].numpy(), x, atol=1e-5)
    for size in (7, 1000):
        pieces = (mel[:, i : i + size] for i in range(0, mel.shape[1], size))
        np.testing.assert_allclose(np.concatenate(list(voice.stream(pieces, seed=1, preset=name))), x, atol=1e-5)


def test_rows_hold_mels_of_several_conventions(voice: Synthesizer) -> None:
    utterances = [Utterance(mel_of(name), seed=i, preset=name) for i, name in enumerate(NAMES)]
    utterances.append(Utterance(mel_of("nvidia"), seed=9))
    for x, utterance in zip(voice.synthesize_many(utterances), utterances, strict=True):
        alone = voice.synthesize(utterance.mel, seed=utterance.seed, preset=utterance.preset)
        assert len(x) == len(alone)
        np.testing.assert_allclose(x, alone, atol=1e-4)


@pytest.mark.parametrize("name", NAMES[1:])
def test_adapted_mels_are_near_those_of_the_model(voice: Synthesizer, name: str) -> None:
    """Where it is loud they are within half a neper on average, of unseen sentences too."""
    path, own = voice.path(name), torch.from_numpy(mel_of("nvidia", 2.0))
    made = path.convert(torch.from_numpy(mel_of(name, 2.0)))[:, : own.shape[1]]
    heard = own[:, : made.shape[1]] > own.amax(dim=0, keepdim=True)[:, : made.shape[1]] - 5.0
    assert (made - own[:, : made.shape[1]]).abs()[heard].mean() < 0.5


def test_what_is_accepted_is_told(voice: Synthesizer) -> None:
    found = {entry["preset"]: entry for entry in accepted_presets(voice.mel_config)}
    assert set(found) >= {"nvidia", *NAMES}
    assert found["espnet"]["how"] == "adapter"
    assert all(-0.2 < cost < 1 for cost in found["espnet"]["pesq_lost"].values())
