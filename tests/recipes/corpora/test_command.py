"""`python -m recipes prepare` takes corpora by name."""

import numpy as np
import pytest
import soundfile

from recipes.__main__ import main
from training.corpora.manifest import read_manifest


def test_an_unpacked_package_is_prepared(tmp_path, capsys):
    wav = tmp_path / "festvox-ru/usr/share/festival/voices/russian/msu_ru_nsh_clunits/wav"
    wav.mkdir(parents=True)
    for number in range(8):
        x = 0.1 * np.random.default_rng(number).standard_normal(8000)
        soundfile.write(wav / f"ru_{number:04d}.wav", x, 16000)
    copyright_file = tmp_path / "festvox-ru/usr/share/doc/festvox-ru/copyright"
    copyright_file.parent.mkdir(parents=True)
    copyright_file.write_text("Copyright 2005")
    out = tmp_path / "out"
    assert main(["prepare", "festvox-ru", "--source", str(tmp_path), "-o", str(out), "--jobs", "1"]) == 0
    assert "festvox-ru" in capsys.readouterr().out
    held_out = [e.path.rpartition("/")[2] for e in read_manifest(out).select("test")]
    assert held_out == ["ru_0001.flac", "ru_0004.flac", "ru_0006.flac"]
    assert (out / "licences/festvox-ru.txt").read_text() == "Copyright 2005"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "there is no corpus nonsense; known: festvox-ru"),
        (["festvox-ru", "--jobs", "0"], "--jobs"),
        (["festvox-ru", "--rms", "3"], "rms"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(tmp_path, capsys, arguments, words):
    assert main(["prepare", *arguments, "-o", str(tmp_path / "out")]) == 2
    printed = capsys.readouterr().err
    assert words in printed
    assert len(printed.splitlines()) == 1
