from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from vocoder.checkpoint import load_model
from vocoder.cli import main
from vocoder.loading import load, shipped_models


def test_a_model_is_described_with_its_contract_and_quality(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", str(model)]) == 0
    text = capsys.readouterr().out
    parameters = load(model).info()["parameters"] / 1e6
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[:3] == [str(model), "family waveglow", f"parameters {parameters:.1f} million"]
    assert "nvidia: 22050 Hz, n_fft 1024, window 1024, hop 256, 80 bands of 0 to 8000 Hz, ln, floor 1e-05" in text
    assert lines[-3:] == ["stoi: 0.9125", "voices", "one: utterances 3, pesq 2.5"]


def test_models_are_described_without_their_weights(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = tmp_path / "tiny"
    copied.mkdir()
    (copied / "config.json").write_bytes((model / "config.json").read_bytes())
    assert main(["models", str(copied), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {**load(model).info(), "name": str(copied)}


def test_json_is_all_there_is_to_know(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", str(model), "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert info["quality"] == load_model(model).quality != {}
    assert info["family"] == "waveglow"
    assert info["mel"]["hop_length"] == 256


def test_the_shipped_models_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--json"]) == 0
    assert [info["name"] for info in json.loads(capsys.readouterr().out)] == shipped_models()


def test_a_list_of_models_is_short_and_says_where_their_scores_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    blocks = capsys.readouterr().out.strip().split("\n\n")
    assert [block.splitlines()[0] for block in blocks] == shipped_models()
    assert all(
        block.splitlines()[-1].split()[1:] == ["shown", "by:", "vocoder", "models", block.split()[0]]
        for block in blocks
    )
    assert max(block.count("\n") for block in blocks) < 8


def test_scores_are_shown_in_lines_that_can_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "waveglow"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 120
    assert re.search(r"asterisk-en: utterances 5, pesq 3\.\d+, stoi 0\.98\d*, distillmos 4\.\d+\n", text)


def test_an_unknown_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "nobody"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("vocoder models: there is no model 'nobody'")
    assert error.count("\n") == 1
