"""Mel configs from presets and files."""

import dataclasses
import json

import numpy as np
import pytest

from vocoder.config import ConfigError, to_dict
from vocoder.mel.config import ALIASES, PRESETS, canonical, preset
from vocoder.mel.config_file import chosen_config, known_presets, load_mel_config, read_statistics


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("FastSpeech2", ": its mels are usually 'nvidia' or 'espnet', see docs/acoustic-models.md; known: nvidia"),
        ("GPT-SoVITS", ": its mels are usually 'gpt-sovits-v4'"),
        ("GPT-SoVITS v2Pro", ": this system has no mel"),
        ("XTTS", ": this system has no mel, because its decoder takes latents or codes; known"),
        ("hifigam", "; did you mean 'hifigan'. known: nvidia"),
        ("vocos-mel-24khz", "; did you mean 'vocos'. known"),
        ("Auto", "; did you mean 'auto'. known"),
        ("Cosy", "; did you mean 'cosyvoice2' or 'cosyvoice3' or 'cosyvoice'. known"),
        ("something", "; known"),
        ("auto", ", which is only for mels to synthesize or check: name one; known"),
    ],
)
def test_unknown_presets_are_rejected_with_suggestions(name, hint):
    with pytest.raises(ConfigError, match=f"no mel preset '{name}'{hint}"):
        preset(name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hop_length": 0}, "hop_length must be at least 1 and at most 32768, not 0"),
        ({"n_fft": 1023, "win_length": 1023}, "n_fft must be even"),
        ({"win_length": 2048}, "hop_length <= win_length <= n_fft must hold, but they are .256, 2048, 1024"),
        ({"f_max": 12000.0}, "f_min < f_max <= sample_rate / 2 must hold"),
        ({"power": 1.5}, "power must be 1"),
        ({"floor": 0.0}, "floor must be above 0 and at most 1, not 0.0"),
        ({"centre": "left"}, "centre must be 'reflect' or 'same'"),
        ({"centre": "same", "hop_length": 255}, "needs an even hop_length"),
        ({"ref_db": 20.0}, "need log 'db20'"),
        ({"log": "db20", "range_db": -1.0}, "range_db must be above 0"),
        ({"range_low": -4.0, "range_high": 4.0}, "range_low and range_high .* need range_db"),
        ({"log": "db20", "range_db": 100.0, "range_low": 1.0}, "range_low < range_high must hold"),
        ({"mean": (0.0,) * 80}, "together, or neither"),
        ({"mean": (0.0,) * 79, "variance": (1.0,) * 80}, "mean must have 80 values"),
        ({"mean": (float("nan"),) * 80, "variance": (1.0,) * 80}, "mean must be finite"),
        ({"mean": (0.0,) * 80, "variance": (0.0,) * 80}, "variance must be positive"),
    ],
)
def test_invalid_fields_are_rejected(changes, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(preset("nvidia"), **changes)


def test_aliases_match_regardless_of_case_and_punctuation():
    assert set(ALIASES.values()) <= set(PRESETS)
    assert not set(ALIASES) & set(PRESETS)
    assert [canonical(name, PRESETS) for name in ALIASES] == list(ALIASES.values())
    names = ("Index TTS2", "MATCHA_TTS", "GradTTS", "---")
    assert [canonical(name, PRESETS) for name in names] == ["indextts2", "hifigan", "hifigan", None]


WIDE = {
    "sample_rate": 44100, "n_fft": 2048, "win_length": 2048, "hop_length": 512, "n_mels": 128, "f_min": 0.0,
    "f_max": 16000.0,
}  # fmt: skip


@pytest.mark.parametrize("name", ["wide.yaml", "wide.yml", "wide.json"])
def test_mel_configs_are_loaded_from_files(tmp_path, name):
    file = tmp_path / name
    file.write_text(json.dumps({**WIDE, "floor": 1e-5}))  # JSON is valid YAML
    found = load_mel_config(str(file))
    assert (found.name, found.sample_rate, found.n_mels, found.floor) == ("wide", 44100, 128, 1e-5)
    assert load_mel_config(file) == found is load_mel_config(found)


def test_presets_survive_a_round_trip_through_a_file(tmp_path):
    normalised = dataclasses.replace(preset("espnet"), name="normalised", mean=(-2.5,) * 80, variance=(0.7,) * 80)
    for name, config in {**PRESETS, "normalised": normalised}.items():
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(to_dict(config)))
        assert load_mel_config(path) == config


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "sample_rate: [", "is not valid YAML"),
        ("a.json", "{", "is not valid JSON"),
        ("a.yaml", "- 1", "must hold settings as `name: value`, not list"),
        ("a.yaml", "hop: 3", "has no field hop"),
        ("a.yaml", "a: &a [1]\nb: [*a, *a]", "aliases .* are not allowed"),
        ("a.yaml", "[" * 500, "is not valid YAML"),
        ("a.json", "[" * 50000, "is not valid JSON"),
        ("a.yaml", "#" * 2**16 + "\n", "it has more than 65536 bytes"),
        ("a.json", json.dumps({**WIDE, "f_max": 30000.0}), "f_max <= sample_rate / 2"),
        ("a.json", json.dumps({**WIDE, "n_mels": "many"}), "n_mels must be int"),
        ("a.json", json.dumps({"n_mels": 80}), "lacks sample_rate"),
    ],
)
def test_invalid_files_are_rejected_with_a_reason(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_mel_config(tmp_path / name)
    with pytest.raises(ConfigError, match="a preset must be a name, a file or a MelConfig, not list"):
        load_mel_config(["nvidia"])


def test_mel_configs_in_a_directory_are_named_after_their_files(tmp_path):
    (tmp_path / "wide.json").write_text(json.dumps({"name": "other", **WIDE}))
    (tmp_path / "notes.txt").write_text("no mel config")
    known = known_presets(tmp_path)
    assert list(known) == [*PRESETS, "wide"]
    assert known["wide"].name == "wide"
    assert known_presets(None) == PRESETS
    with pytest.raises(ConfigError, match="no directory"):
        known_presets(tmp_path / "nothing")
    for file in (tmp_path / "wide.yaml", tmp_path / "espnet.json"):
        file.write_text(json.dumps(WIDE))
        with pytest.raises(ConfigError, match=f"{file.name}: .*rename the file"):
            known_presets(tmp_path)
        file.unlink()


@pytest.mark.parametrize("kind", ["npz", "json", "sums.npz", "npy"])
def test_statistics_are_read_from_a_file(tmp_path, kind):
    mean, variance = np.arange(-80, 0) / 32, (np.arange(1, 81) / 32) ** 2  # exact in floating point
    path = tmp_path / f"stats.{kind}"
    sums = {"count": 5, "sum": 5 * mean, "sum_square": 5 * (variance + mean**2)}  # as in ESPnet
    if kind == "json":
        path.write_text(json.dumps({"mean": mean.tolist(), "variance": variance.tolist()}))
    elif kind == "npy":  # as in PaddleSpeech and TensorFlowTTS
        np.save(path, [mean, np.sqrt(variance)])
    else:
        np.savez(path, **(sums if kind == "sums.npz" else {"mean": mean, "variance": variance}))
    found = load_mel_config("espnet", path)
    assert (*found.mean, *found.variance) == pytest.approx([*mean, *variance])
    assert load_mel_config("espnet", (mean, variance)) == load_mel_config("espnet", path) == found
    chosen = [chosen_config(*given) for given in (("espnet", path), (None, None), ("auto", None))]
    assert chosen == [found, None, "auto"]
    for name in (None, "auto"):
        with pytest.raises(ConfigError, match="statistics need the preset"):
            chosen_config(name, path)


def test_invalid_statistics_are_rejected(tmp_path):
    path = tmp_path / "stats.json"
    path.write_text('{"mean": -5, "variance": [4]}')  # the same for all bands
    expected = dataclasses.replace(PRESETS["espnet"], mean=(-5.0,) * 80, variance=(4.0,) * 80)
    assert load_mel_config("espnet", path) == load_mel_config("espnet", (-5, np.float32(4))) == expected
    for text, message in (
        ('{"mean": [1, 2]}', "must hold mean and variance.*it lacks 'variance'"),
        ('{"mean": [1, 2], "variance": [1, 1]}', "mean must have 80 values"),
        ("[" * 10**5, "as npz or JSON"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=message):
            load_mel_config("espnet", path)
    for statistics in ((1,), (1, 2, 3), 5, ("a", "b"), ([[1], [1, 2]], 1), {"mean": 1, "variance": 2}):
        with pytest.raises(ConfigError, match=r"must be \(mean, variance\), each one number or 80"):
            load_mel_config("espnet", statistics)
    with pytest.raises(ConfigError, match="cannot read the statistics"):
        read_statistics(tmp_path / "none.json")
