"""Mels of other conventions, spoken: at once, in rows, and in streams."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import grouping_config, stirred

from vocoder.adapt.path import accepted_presets
from vocoder.audio.file import read_audio
from vocoder.checkpoint import Checkpoint
from vocoder.mel.config import preset
from vocoder.mel.config_file import with_statistics
from vocoder.mel.convert import MelMismatchError
from vocoder.mel.spectrogram import MelSpectrogram
from vocoder.mel.values import MelError
from vocoder.models.waveglow import WaveGlow
from vocoder.sampling import Utterance
from vocoder.synthesis.synthesizer import Synthesizer

RECORDING = Path(__file__).parents[3] / "examples" / "heldout.flac"
NAMES = ("hifigan", "espnet", "vocos", "tacotron2-tf", "speecht5")
"""exact and later; other bands; another rate and number of bands; another range; another hop in seconds"""


@pytest.fixture(scope="module")
def voice() -> Synthesizer:
    """A WaveGlow of random weights that hears mels of the nvidia mel config."""
    torch.manual_seed(0)
    config = grouping_config(
        n_mels=80, hop_length=256, sample_rate=22050, group_size=8, cond_channels=640, upsample_kernel=1024
    )
    checkpoint = Checkpoint(stirred(WaveGlow(config), 0.05), "waveglow", preset("nvidia"), {}, {})
    return Synthesizer(checkpoint, "tiny", "cpu", torch.float32, "off")


def mel_of(name: str, seconds: float = 0.5) -> Any:
    config = preset(name)
    x, _ = read_audio(RECORDING, config.sample_rate)
    return MelSpectrogram(config)(torch.from_numpy(x[: int(seconds * config.sample_rate)])[None])[0].numpy()


def test_hifigan_is_the_same_audio_half_a_hop_later(voice: Synthesizer) -> None:
    mel = mel_of("hifigan")
    own, later = voice.synthesize(mel, seed=1), voice.synthesize(mel, seed=1, preset="hifigan", adapt="off")
    assert len(later) == len(own) == 256 * mel.shape[1]
    np.testing.assert_array_equal(later[128:], own[:-128])
    assert not later[:128].any()
    assert voice.path("hifigan").adapted is None


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
    x, _ = read_audio(RECORDING, preset(name).sample_rate)
    x = torch.from_numpy(x[: 2 * preset(name).sample_rate])[None]
    made = path.convert(MelSpectrogram(preset(name))(x)[0])[:, : own.shape[1]]
    heard = own[:, : made.shape[1]] > own.amax(dim=0, keepdim=True)[:, : made.shape[1]] - 5.0
    assert (made - own[:, : made.shape[1]]).abs()[heard].mean() < 0.5


def test_statistics_of_ones_own(voice: Synthesizer) -> None:
    mel = mel_of("espnet")
    mean, variance = mel.mean(axis=1), mel.var(axis=1) + 0.1
    normalised = (mel - mean[:, None]) / np.sqrt(variance)[:, None]
    config = with_statistics(preset("espnet"), (tuple(mean), tuple(variance)))
    expected = voice.synthesize(mel, seed=1, preset="espnet")
    np.testing.assert_allclose(voice.synthesize(normalised, seed=1, preset=config), expected, atol=1e-4)


def test_what_cannot_be_spoken_is_refused(voice: Synthesizer) -> None:
    with pytest.raises(MelMismatchError, match="f_min is 80"):
        voice.synthesize(mel_of("espnet"), preset="espnet", adapt="off")
    with pytest.raises(MelError, match=r"must be \(100, frames\)"):
        voice.synthesize(mel_of("espnet"), preset="vocos")
    with pytest.raises(MelMismatchError, match="hop_length is 300"):
        voice.open_stream(preset=replace(preset("espnet"), name="x", hop_length=300))


def test_what_is_accepted_is_told(voice: Synthesizer) -> None:
    found = {entry["preset"]: entry for entry in accepted_presets(voice.mel_config)}
    assert set(found) >= {"nvidia", *NAMES}
    assert found["espnet"]["how"] == "adapter"
    assert all(-0.2 < cost < 1 for cost in found["espnet"]["pesq_lost"].values())


def test_the_guard_judges_what_the_model_gets(voice: Synthesizer) -> None:
    verdict = voice.check(mel_of("espnet", 2.0), preset="espnet")
    assert (verdict.typical, verdict.adapted) == (True, "espnet")
    assert voice.check(mel_of("nvidia", 2.0)).adapted is None
