"""`vocoder info` tells what the other commands wrote."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vocoder import __version__
from vocoder.audio.file import write_audio
from vocoder.cli import main

FLOAT32 = ("--dtype", "float32")


@pytest.fixture
def mels(tmp_path: Path) -> Path:
    folder = tmp_path / "mels"
    folder.mkdir()
    for name in ("a", "b"):
        np.save(folder / f"{name}.npy", np.full((80, 12), -6.0, np.float32))
    return folder


def told(path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    capsys.readouterr()
    assert main(["info", "--json", str(path)]) == 0
    return dict(json.loads(capsys.readouterr().out))


@pytest.mark.parametrize("more", [["--seed", "7"], ["--seed", "7", "--stream"]])
def test_one_file(mels: Path, model: Path, tmp_path: Path, more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "x.flac"
    assert (
        main(
            [
                "synthesize",
                "--guard",
                "off",
                str(mels / "a.npy"),
                "-o",
                str(out),
                "--model",
                str(model),
                *more,
                *FLOAT32,
            ]
        )
        == 0
    )
    info = told(out, capsys)
    assert info["origin"] == {"model": "tiny", "version": __version__, "seed": 7, "synthetic": True, "dtype": "float32"}
    assert (info["container"], info["sample_rate"]) == ("FLAC", 22050)
    assert main(["info", str(out)]) == 0
    assert "synthetic: model 'tiny'" in capsys.readouterr().out


def test_a_seed_that_nobody_named_speaks_the_same_again(
    mels: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["synthesize", "--guard", "off", str(mels / "a.npy"), "--model", str(model)]
    assert main([*arguments, "-o", str(tmp_path / "x.wav")]) == 0
    origin = told(tmp_path / "x.wav", capsys)["origin"]
    assert isinstance(origin, dict)
    assert main([*arguments, "-o", str(tmp_path / "y.wav"), "--seed", str(origin["seed"])]) == 0
    assert (tmp_path / "x.wav").read_bytes() == (tmp_path / "y.wav").read_bytes()


def test_folders_and_the_way_back(mels: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["synthesize", "--guard", "off", str(mels), "-o", str(out), "--model", str(model)]) == 0
    assert isinstance(told(out / "b.wav", capsys)["origin"], dict)
    copied = ["resynthesize", str(out / "b.wav"), "-o", str(tmp_path / "c.wav"), "--model", str(model)]
    assert main([*copied, "--seed", "5", *FLOAT32]) == 0
    assert told(tmp_path / "c.wav", capsys)["origin"] == {
        "model": "tiny",
        "version": __version__,
        "seed": 5,
        "synthetic": True,
        "dtype": "float32",
    }
    assert main([*copied, "--no-origin"]) == 0
    assert told(tmp_path / "c.wav", capsys)["origin"] is None


def test_a_recording_says_nothing_and_a_text_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_audio(tmp_path / "x.wav", np.zeros(100, np.float32), 8000)
    (tmp_path / "y.wav").write_text("no audio")
    assert main(["info", str(tmp_path / "x.wav"), str(tmp_path / "y.wav")]) == 2
    printed = capsys.readouterr()
    assert "origin not stated" in printed.out
    assert "y.wav" in printed.err
    assert "a mel in an npy file is not)" in printed.err
