from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from vocoder.cli import main

RECORDING = Path(__file__).resolve().parents[3] / "examples" / "heldout.flac"


@pytest.fixture(scope="module")
def mel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mels") / "mel.npy"
    assert main(["mel", str(RECORDING), "-o", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def decimal(mel: Path) -> Path:
    path = mel.with_name("decimal.npy")
    np.save(path, np.load(mel) / np.float32(math.log(10.0)))
    return path


def test_a_true_mel_is_typical(mel: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(mel)]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{mel}: typical. The mel follows its mel config. ")
    assert out.endswith("% of true mels are less likely.\n")


def test_a_wrong_one_is_named_and_the_status_tells(
    mel: Path, decimal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(mel), str(decimal)]) == 1
    first, second = capsys.readouterr().out.splitlines()
    assert ": typical. " in first
    expected = "log10. The mel looks like decimal logarithms: multiply by ln(10) = 2.302585."
    assert second == f"{decimal}: {expected}"


def test_json_is_the_whole_verdict(decimal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--json", str(decimal)]) == 1
    verdict = json.loads(capsys.readouterr().out)
    assert verdict.keys() == {
        *("mel", "contract", "typical", "typicality", "cause", "message", "preset", "adapted", "likeliest")
    }
    assert (verdict["mel"], verdict["typical"], verdict["cause"]) == (str(decimal), False, "log10")


def test_what_cannot_be_read_or_judged_is_said(mel: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.npy").write_text("no array")
    assert main(["check", str(tmp_path / "text.npy"), str(mel)]) == 2
    captured = capsys.readouterr()
    assert "this is no npy file" in captured.err
    assert ": typical. " in captured.out
    assert main(["check", str(mel), "--preset", "vocos"]) == 1
    assert "bands. The mel has 80 rows; the mel config has 100 bands." in capsys.readouterr().out


def test_a_mel_of_another_convention_is_judged_as_the_model_gets_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["mel", str(RECORDING), "-o", str(tmp_path / "vocos.npy"), "--preset", "vocos"]) == 0
    capsys.readouterr()
    assert main(["check", "--json", "--preset", "vocos", str(tmp_path / "vocos.npy")]) == 0
    assert json.loads(capsys.readouterr().out)["adapted"] == "vocos"
