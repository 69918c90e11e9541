from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from vocoder.audio.file import read_audio
from vocoder.checkpoint import load_model, save_model
from vocoder.cli import main
from vocoder.loading import load
from vocoder.mel.config import preset
from vocoder.mel.spectrogram import MelSpectrogram

RECORDING = Path(__file__).parents[3] / "examples" / "heldout.flac"
FRAMES = 12
LENGTH = FRAMES * 256


def speak(*arguments: str | Path, model: Path, guard: str = "off") -> int:
    return main(["synthesize", "--guard", guard, *map(str, arguments), "--model", str(model)])


def random_mel(seed: int, frames: int = FRAMES) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(-5.0, 1.5, (80, frames)).astype(np.float32).clip(-11.5, None)


@pytest.fixture
def mel(tmp_path: Path) -> Path:
    np.save(tmp_path / "mel.npy", random_mel(0))
    return tmp_path / "mel.npy"


def read(path: Path) -> NDArray[np.float32]:
    x, sample_rate = soundfile.read(path, dtype="float32")
    assert sample_rate == 22050
    return x


def test_the_file_holds_what_the_model_says(
    mel: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert speak(mel, "-o", tmp_path / "out.wav", "--seed", "3", "--sigma", "0.7", model=model) == 0
    expected = load(model, guard="off").synthesize(np.load(mel), seed=3, sigma=0.7)
    np.testing.assert_allclose(read(tmp_path / "out.wav"), expected, rtol=0, atol=1 / 32768)
    assert np.abs(expected).max() > 0.01
    assert f"out.wav: {LENGTH / 22050:.2f} s, peak" in capsys.readouterr().out


def test_the_stream_writes_the_same_audio(mel: Path, model: Path, tmp_path: Path) -> None:
    np.save(mel, random_mel(0, frames=300))
    for name, flags in (("whole.flac", []), ("stream.flac", ["--stream"])):
        assert speak(mel, "-o", tmp_path / name, "--seed", "3", *flags, model=model) == 0
    whole, stream = read(tmp_path / "whole.flac"), read(tmp_path / "stream.flac")
    np.testing.assert_allclose(stream, whole, rtol=0, atol=1e-3)  # bfloat16 rounds otherwise in other shapes


def test_clipping_is_reported_alike(mel: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for flags in ([], ["--stream"]):
        assert speak(mel, "-o", tmp_path / "loud.wav", "--seed", "1", "--sigma", "80", *flags, model=model) == 0
    counts = re.findall(r"clipped (\d+) samples to full scale", capsys.readouterr().out)
    assert int(counts[0]) > 0
    assert int(counts[1]) == pytest.approx(int(counts[0]), rel=0.02)


def test_a_mel_of_another_mel_config_is_converted(mel: Path, model: Path, tmp_path: Path) -> None:
    coarse = dataclasses.replace(preset("nvidia"), name="coarse", floor=1e-3)
    speaker = save_model(tmp_path / "coarse", load_model(model).model, coarse)
    assert speak(mel, "-o", tmp_path / "a.wav", "--seed", "1", "--preset", "nvidia", model=speaker) == 0
    assert np.load(mel).min() < np.log(1e-3)
    expected = load(speaker, guard="off").synthesize(np.maximum(np.load(mel), np.float32(np.log(1e-3))), seed=1)
    np.testing.assert_allclose(read(tmp_path / "a.wav"), expected, rtol=0, atol=1e-3)


def test_a_folder_becomes_a_folder(model: Path, tmp_path: Path) -> None:
    (tmp_path / "mels").mkdir()
    for i in range(2):
        np.save(tmp_path / "mels" / f"{i}.npy", random_mel(i))
    assert speak(tmp_path / "mels", "-o", tmp_path / "made" / "out", "--seed", "3", model=model) == 0
    assert sorted(path.name for path in (tmp_path / "made" / "out").glob("[!.]*")) == ["0.wav", "1.wav"]
    # the audio of a file is not changed by its neighbours, but for the rounding of the last bit
    assert speak(tmp_path / "mels" / "1.npy", "-o", tmp_path / "alone.wav", "--seed", "3", model=model) == 0
    alone, beside = read(tmp_path / "alone.wav"), read(tmp_path / "made" / "out" / "1.wav")
    np.testing.assert_allclose(beside, alone, rtol=0, atol=1.01 / 32768)


def test_a_bad_mel_does_not_keep_the_others_from_speaking(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "good.npy", random_mel(0))
    np.save(tmp_path / "transposed.npy", random_mel(0).T)
    files = tmp_path / "transposed.npy", tmp_path / "good.npy"
    assert speak(*files, "-o", tmp_path / "out", "--seed", "1", model=model) == 2
    assert [path.name for path in (tmp_path / "out").glob("[!.]*")] == ["good.wav"]
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.match(r"vocoder synthesize: \S+/transposed\.npy: .*it looks transposed, ", error.strip())


def test_what_is_no_mel_is_refused_in_one_line(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "pickle.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "integers.npy", np.zeros((80, 3), dtype=np.int16))
    np.save(tmp_path / "batch.npy", np.zeros((2, 80, 3), dtype=np.float32))
    np.save(tmp_path / "whole.npy", np.zeros((80, 300), dtype=np.float32))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "whole.npy").read_bytes()[:1000])
    (tmp_path / "text.npy").write_text("not a mel")
    nan = np.full((80, 3), np.nan, dtype=np.float32)
    np.save(tmp_path / "nan.npy", nan)
    reasons = {
        "absent": "there is no file",
        "batch": "one file holds one mel",
        "cut": "no npy file",
        "integers": "holds floats, not int16",
        "nan": "not finite",
        "pickle": "no npy file",
        "text": "no npy file",
    }
    files = [tmp_path / f"{name}.npy" for name in reasons]
    assert speak(*files, "-o", tmp_path / "out", model=model) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [reason in line for line, reason in zip(lines, reasons.values(), strict=True)] == [True] * len(reasons)
    assert list((tmp_path / "out").glob("[!.]*")) == []


def test_an_unlikely_mel_is_spoken_with_a_word_or_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x, _ = read_audio(RECORDING, 22050)
    mel = MelSpectrogram(preset("nvidia"))(torch.from_numpy(x)[None])[0].numpy()
    np.save(tmp_path / "right.npy", mel)
    np.save(tmp_path / "log10.npy", mel / math.log(10))
    doubt = r"vocoder synthesize: warning: \S+/log10\.npy: The mel looks like decimal logarithms.*\n"
    for i, names in enumerate((["log10.npy"], ["right.npy", "log10.npy"])):
        out = tmp_path / ("one.wav" if i == 0 else "many")
        files = [tmp_path / name for name in names]
        assert speak(*files, "-o", out, model=model, guard="strict") == 2
        assert re.fullmatch(doubt.replace("warning: ", ""), capsys.readouterr().err)
        assert speak(*files, "-o", out, model=model, guard="warn") == 0
        captured = capsys.readouterr()
        assert re.fullmatch(doubt, captured.err)
    assert "1 spoken" in captured.out
    assert "1 there already" in captured.out
    assert "1 of unlikely mels" in captured.out


def test_a_batch_of_one_is_a_mel(model: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", random_mel(0)[None])
    np.save(tmp_path / "two.npy", random_mel(0))
    for name in ("one", "two"):
        assert speak(tmp_path / f"{name}.npy", "-o", tmp_path / f"{name}.wav", "--seed", "1", model=model) == 0
    assert (tmp_path / "one.wav").read_bytes() == (tmp_path / "two.wav").read_bytes()


def test_what_a_file_is_instead_is_said(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.npy").touch()
    soundfile.write(tmp_path / "speech.wav", np.zeros(10), 22050)
    for name, text in (("empty.npy", "it is empty"), ("speech.wav", "it is a wav file; `vocoder mel` makes a mel")):
        assert speak(tmp_path / name, "-o", tmp_path / "a.flac", model=model) == 2
        assert text in capsys.readouterr().err


def test_arguments_that_contradict_each_other(
    mel: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mel.npy").write_bytes(mel.read_bytes())
    (tmp_path / "file").write_text("")
    twice = mel, tmp_path / "other" / "mel.npy"
    (tmp_path / "empty").mkdir()
    wrong: list[tuple[tuple[str | Path, ...], str]] = [
        ((mel, "-o", tmp_path / "a.wav", "--stream", "--denoise", "0.1"), "omit --stream"),
        ((mel, "-o", tmp_path / "other", "--stream"), "--stream is for one mel"),
        ((mel, "-o", tmp_path / "other", "--workers", "0"), "--workers and --row-frames must be 1 or more"),
        ((mel, "-o", tmp_path / "other", "--sigma", "-1"), "sigma must be 0 or more"),
        ((*twice, "-o", tmp_path / "out"), "several mels would be written to mel.wav"),
        ((*twice, "-o", tmp_path / "file"), "is a file"),
        ((tmp_path / "empty", "-o", tmp_path / "out"), "no npy files"),
        ((mel, "-o", tmp_path / "a.wav", "--device", "toaster"), "device 'toaster' cannot be used"),
        ((mel, "-o", tmp_path / "a.wav", "--seed", "-1"), "the seed must be a whole number, 0 or more"),
        ((mel, "-o", tmp_path / "a.xyz"), "unknown format 'xyz'"),
        ((mel, "-o", tmp_path / "a.xyz", "--stream"), "unknown format 'xyz'"),
        ((mel, "-o", tmp_path / "a.opus", "--stream"), "knows 8000"),
        ((mel, "-o", tmp_path / "absent" / "a.wav"), "absent"),
        ((mel, "-o", tmp_path / "absent" / "a.wav", "--stream"), "absent"),
    ]
    for arguments, reason in wrong:
        assert speak(*arguments, model=model) == 2
        error = capsys.readouterr().err
        assert error.startswith("vocoder synthesize: ")
        assert reason in error
        assert error.count("\n") == 1
    assert not (tmp_path / "a.wav").exists()


def test_a_model_that_is_not_there(mel: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert speak(mel, "-o", tmp_path / "a.wav", model=tmp_path / "nothing") == 2
    assert "there is no model" in capsys.readouterr().err
