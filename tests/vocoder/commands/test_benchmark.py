from __future__ import annotations

import json
from pathlib import Path

import pytest

from vocoder.cli import main


@pytest.fixture(autouse=True)
def _small_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vocoder.timing.MATRIX_SIZE", 64)


def test_each_length_has_a_line(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["benchmark", "--model", str(model), "--seconds", "0.1", "0.3", "--repetitions", "1"]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{model}, ")
    assert "threads, PyTorch" in lines[0]
    assert [line.split(" | ")[0] for line in lines[4:]] == ["| 0.1 s", "| 0.3 s", "| first chunk of a stream"]


def test_speed_is_audio_over_time(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["benchmark", "--model", str(model), "--seconds", "0.3", "--repetitions", "1", "--json"]
    assert main(arguments) == 0
    figures = json.loads(capsys.readouterr().out)
    length = round(0.3 * 22050 / 256) * 256 / 22050
    assert figures["times_real_time"]["0.3 s"] == pytest.approx(length / figures["seconds"]["0.3 s"])


@pytest.mark.parametrize("arguments", [["--seconds", "0"], ["--repetitions", "0"], ["--seconds", "1", "-2"]])
def test_what_cannot_be_measured_is_refused(
    model: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["benchmark", "--model", str(model), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("vocoder benchmark: ")
    assert error.count("\n") == 1
