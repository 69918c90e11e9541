from __future__ import annotations

import dataclasses
import json

import pytest

from vocoder.config import ConfigError, from_dict, to_dict
from vocoder.mel.config import PRESETS, MelConfig, preset


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_survives_json(name: str) -> None:
    assert from_dict(MelConfig, json.loads(json.dumps(to_dict(preset(name))))) == preset(name)


def test_statistics_survive_json() -> None:
    config = dataclasses.replace(preset("espnet"), mean=(-2.5,) * 80, variance=(0.7,) * 80)
    assert from_dict(MelConfig, json.loads(json.dumps(to_dict(config)))) == config


def test_the_default_contract_is_the_published_one() -> None:
    config = preset("nvidia")
    assert (config.sample_rate, config.n_fft, config.win_length, config.hop_length) == (22050, 1024, 1024, 256)
    assert (config.n_mels, config.f_min, config.f_max, config.power, config.floor) == (80, 0.0, 8000.0, 1.0, 1e-5)


def test_presets_carry_their_own_names() -> None:
    assert {name: config.name for name, config in PRESETS.items()} == {name: name for name in PRESETS}
    assert list(PRESETS) == [
        "nvidia",
        "hifigan",
        "vocos",
        "f5-tts",
        "zipvoice",
        "bigvgan",
        "gpt-sovits-v3",
        "gpt-sovits-v4",
        "cosyvoice2",
        "cosyvoice3",
        "nemo",
        "indextts2",
        "fireredtts",
        "espnet",
        "r9y9",
        "tacotron2-tf",
        "speecht5",
    ]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("FastSpeech2", ": its mels are 'espnet' as a rule, see docs/acoustic-models.md; known: nvidia"),
        ("GPT-SoVITS", ": its mels are 'gpt-sovits-v4' as a rule"),
        ("hifigam", ", is 'hifigan' meant; known"),
        ("something", "; known"),
    ],
)
def test_an_unknown_preset_is_answered_with_what_may_be_meant(name: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=f"no mel preset '{name}'{hint}"):
        preset(name)


def test_an_unknown_preset_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="no mel preset 'tacotron'; known: nvidia, hifigan"):
        preset("tacotron")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hop_length": 0}, "hop_length must be positive and at most 32768, not 0"),
        ({"n_fft": 1023, "win_length": 1023}, "n_fft must be even"),
        ({"win_length": 2048}, "hop_length <= win_length <= n_fft must hold, not 256, 2048, 1024"),
        ({"f_max": 12000.0}, "f_min < f_max <= sample_rate / 2 must hold"),
        ({"f_min": 8000.0}, "f_min < f_max"),
        ({"power": 1.5}, "power must be 1"),
        ({"floor": 0.0}, "floor must lie between 0 and 1"),
        ({"centre": "left"}, "centre must be 'reflect' or 'same'"),
        ({"centre": "same", "hop_length": 255}, "needs an even hop_length"),
        ({"log": "log2"}, "log must be"),
        ({"ref_db": 20.0}, "belong to log 'db20'"),
        ({"log": "db20", "range_db": -1.0}, "range_db must be positive"),
        ({"range_low": -4.0, "range_high": 4.0}, "range_low and range_high need range_db"),
        ({"log": "db20", "range_db": 100.0, "range_low": 1.0}, "range_low < range_high must hold"),
        ({"mel_scale": "bark"}, "mel_scale must be"),
        ({"mel_norm": "area"}, "mel_norm must be"),
        ({"magnitude_epsilon": -1.0}, "magnitude_epsilon must lie"),
        ({"mean": (0.0,) * 80}, "come together"),
        ({"mean": (0.0,) * 79, "variance": (1.0,) * 80}, "mean must hold 80 values"),
        ({"mean": (float("nan"),) * 80, "variance": (1.0,) * 80}, "mean must be finite"),
        ({"mean": (0.0,) * 80, "variance": (0.0,) * 80}, "variance must be positive"),
    ],
)
def test_a_contradiction_is_named(changes, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(preset("nvidia"), **changes)


@pytest.mark.parametrize(
    ("name", "preset_name"),
    [("Matcha-TTS", "hifigan"), ("CosyVoice 2", "cosyvoice2"), ("chatterbox", "cosyvoice2"), ("F5_TTS", "f5-tts")],
)
def test_names_of_acoustic_models_are_accepted(name: str, preset_name: str) -> None:
    assert preset(name) is PRESETS[preset_name]


def test_only_a_scale_of_all_bands_is_no_statistics() -> None:
    assert [name for name, config in PRESETS.items() if config.scaled] == ["zipvoice", "gpt-sovits-v3", "gpt-sovits-v4"]
    assert not dataclasses.replace(preset("nvidia"), mean=(0.0,) * 80, variance=(1.0,) * 79 + (2.0,)).scaled


@pytest.mark.parametrize("name", ["nvidia", "hifigan"])
def test_a_whole_number_of_hops_gives_the_published_number_of_frames(name: str) -> None:
    expected = {"nvidia": 101, "hifigan": 100}[name]
    assert preset(name).frames(100 * 256) == expected
