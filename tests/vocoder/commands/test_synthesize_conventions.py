"""`vocoder synthesize` with mels of other conventions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from vocoder.audio.file import read_audio
from vocoder.cli import main
from vocoder.config import to_dict
from vocoder.loading import load
from vocoder.mel.config import preset
from vocoder.mel.spectrogram import MelSpectrogram

RECORDING = Path(__file__).parents[3] / "examples" / "heldout.flac"


def mel_of(name: str, seconds: float = 0.5) -> Any:
    config = preset(name)
    x, _ = read_audio(RECORDING, config.sample_rate)
    return MelSpectrogram(config)(torch.from_numpy(x[: int(seconds * config.sample_rate)])[None])[0].numpy()


def speak(model: Path, output: Path, *arguments: str | Path) -> Any:
    assert main(["synthesize", *map(str, arguments), "-o", str(output), "--model", str(model), "--seed", "1"]) == 0
    x, sample_rate = soundfile.read(output, dtype="float32")
    assert sample_rate == 22050
    return x


@pytest.mark.parametrize("name", ["hifigan", "espnet", "vocos"])
def test_a_preset_is_spoken(model: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "mel.npy", mel_of(name))
    x = speak(model, tmp_path / "a.wav", tmp_path / "mel.npy", "--preset", name, "--guard", "off")
    said = capsys.readouterr().out
    assert (f"through the {name} adapter" in said) == (name != "hifigan")
    expected = load(model, guard="off").synthesize(mel_of(name), seed=1, preset=name)
    np.testing.assert_allclose(x, expected, rtol=0, atol=1 / 32768)
    streamed = speak(model, tmp_path / "b.wav", tmp_path / "mel.npy", "--preset", name, "--guard", "off", "--stream")
    np.testing.assert_allclose(streamed, x, rtol=0, atol=2 / 32768)


def test_a_folder_of_them_too(model: Path, tmp_path: Path) -> None:
    (tmp_path / "mels").mkdir()
    for i in range(2):
        np.save(tmp_path / "mels" / f"{i}.npy", mel_of("vocos", 0.3 + 0.1 * i))
    arguments = ["synthesize", str(tmp_path / "mels"), "-o", str(tmp_path / "out"), "--model", str(model)]
    assert main([*arguments, "--seed", "1", "--preset", "vocos", "--guard", "off"]) == 0
    x, _ = soundfile.read(tmp_path / "out" / "1.wav", dtype="float32")
    expected = load(model, guard="off").synthesize(mel_of("vocos", 0.4), seed=1, preset="vocos")
    assert len(x) == len(expected)
    np.testing.assert_allclose(x, expected, rtol=0, atol=1 / 16384)


def test_a_contract_file_and_statistics(model: Path, tmp_path: Path) -> None:
    mel = mel_of("espnet")
    mean, variance = mel.mean(axis=1), mel.var(axis=1) + 0.1
    np.save(tmp_path / "mel.npy", mel)
    np.save(tmp_path / "normalised.npy", (mel - mean[:, None]) / np.sqrt(variance)[:, None])
    np.savez(tmp_path / "stats.npz", mean=mean, variance=variance)
    (tmp_path / "ours.json").write_text(json.dumps({**to_dict(preset("espnet")), "name": "ours"}))
    plain = speak(model, tmp_path / "a.wav", tmp_path / "mel.npy", "--preset", "espnet", "--guard", "off")
    given = ["--preset", tmp_path / "ours.json", "--statistics", tmp_path / "stats.npz", "--guard", "off"]
    x = speak(model, tmp_path / "b.wav", tmp_path / "normalised.npy", *given)
    np.testing.assert_allclose(x, plain, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--preset", "espnet", "--adapt", "off"], "f_min is 80.0, not 0.0"),
        (["--preset", "nothing"], "no mel preset 'nothing'"),
        (["--preset", "nowhere.yaml"], "cannot read the mel config"),
        (["--statistics", "stats.npz"], "name that too"),
    ],
)
def test_what_cannot_be_is_said(
    model: Path, tmp_path: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "mel.npy", mel_of("espnet"))
    asked = ["synthesize", str(tmp_path / "mel.npy"), "-o", str(tmp_path / "a.wav"), "--model", str(model)]
    assert main([*asked, *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "a.wav").exists()
