import json

import numpy as np

from vocoder import __version__
from vocoder.audio.file import write_audio
from vocoder.cli import main


def told(path, capsys):
    capsys.readouterr()
    assert main(["info", "--json", str(path)]) == 0
    return dict(json.loads(capsys.readouterr().out))


def test_files_name_the_seed_that_makes_the_same_again(model, tmp_path, capsys):
    np.save(tmp_path / "a.npy", np.full((80, 12), -6.0, np.float32))
    arguments = ["synthesize", "--guard", "off", str(tmp_path / "a.npy"), "--model", str(model), "--dtype", "float32"]
    assert main([*arguments, "-o", str(tmp_path / "x.wav")]) == 0
    info = told(tmp_path / "x.wav", capsys)
    seed = info["origin"]["seed"]
    assert info["origin"] == {
        "model": "tiny", "version": __version__, "seed": seed, "synthetic": True, "dtype": "float32"
    }  # fmt: skip
    assert (info["container"], info["sample_rate"]) == ("WAV", 22050)
    assert main(["info", str(tmp_path / "x.wav")]) == 0
    assert "synthetic: model 'tiny'" in capsys.readouterr().out
    assert main([*arguments, "-o", str(tmp_path / "y.wav"), "--seed", str(seed)]) == 0
    assert (tmp_path / "x.wav").read_bytes() == (tmp_path / "y.wav").read_bytes()
    copied = ["resynthesize", str(tmp_path / "x.wav"), "-o", str(tmp_path / "c.wav"), "--model", str(model)]
    assert main([*copied, "--seed", "5"]) == 0
    assert told(tmp_path / "c.wav", capsys)["origin"]["seed"] == 5
    assert main([*copied, "--no-origin"]) == 0
    assert told(tmp_path / "c.wav", capsys)["origin"] is None


def test_a_recording_says_nothing_and_a_text_is_none(tmp_path, capsys):
    write_audio(tmp_path / "x.wav", np.zeros(100, np.float32), 8000)
    (tmp_path / "y.wav").write_text("no audio")
    assert main(["info", str(tmp_path / "x.wav"), str(tmp_path / "y.wav")]) == 2
    printed = capsys.readouterr()
    assert "origin not stated" in printed.out
    assert "y.wav" in printed.err
    assert "a mel in an npy file is not)" in printed.err
