"""The commands info, models and benchmark."""

import json
import re

import numpy as np
import pytest

from vocoder import __version__
from vocoder.audio.writing import write_audio
from vocoder.cli import main
from vocoder.loading import load, shipped_models


def read_info(path, capsys):
    capsys.readouterr()
    assert main(["info", "--json", str(path)]) == 0
    return dict(json.loads(capsys.readouterr().out))


def test_audio_files_store_the_seed_that_reproduces_them(model, tmp_path, capsys):
    np.save(tmp_path / "a.npy", np.full((80, 12), -6.0, np.float32))
    arguments = ["synthesize", "--guard", "off", str(tmp_path / "a.npy"), "--model", str(model), "--dtype", "float32"]
    assert main([*arguments, "-o", str(tmp_path / "x.wav")]) == 0
    info = read_info(tmp_path / "x.wav", capsys)
    seed = info["origin"]["seed"]
    origin = {"model": "tiny", "version": __version__, "seed": seed, "synthetic": True, "dtype": "float32"}
    assert info["origin"] == origin
    assert (info["container"], info["sample_rate"]) == ("WAV", 22050)
    assert main(["info", str(tmp_path / "x.wav")]) == 0
    assert "synthetic: model 'tiny'" in capsys.readouterr().out
    assert main([*arguments, "-o", str(tmp_path / "y.wav"), "--seed", str(seed)]) == 0
    assert (tmp_path / "x.wav").read_bytes() == (tmp_path / "y.wav").read_bytes()
    copied = ["resynthesize", str(tmp_path / "x.wav"), "-o", str(tmp_path / "c.wav"), "--model", str(model)]
    assert main([*copied, "--seed", "5"]) == 0
    assert read_info(tmp_path / "c.wav", capsys)["origin"]["seed"] == 5
    assert main([*copied, "--no-origin"]) == 0
    assert read_info(tmp_path / "c.wav", capsys)["origin"] is None


def test_info_of_a_recording_has_no_origin_and_a_text_file_is_rejected(tmp_path, capsys):
    write_audio(tmp_path / "x.wav", np.zeros(100, np.float32), 8000)
    (tmp_path / "y.wav").write_text("no audio")
    assert main(["info", str(tmp_path / "x.wav"), str(tmp_path / "y.wav")]) == 2
    printed = capsys.readouterr()
    assert "origin not stated" in printed.out
    assert "y.wav" in printed.err
    assert "a mel in an npy file is not)" in printed.err


def test_a_model_is_described_with_its_quality_without_loading_its_weights(model, capsys, tmp_path):
    assert main(["models", str(model)]) == 0
    text = capsys.readouterr().out
    parameters = load(model).info()["parameters"] / 1e6
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[:3] == [str(model), "family waveglow", f"parameters {parameters:.1f} million"]
    assert "nvidia: 22050 Hz, n_fft 1024, window 1024, hop 256, 80 bands of 0 to 8000 Hz, ln, floor 1e-05" in text
    assert lines[-3:] == ["stoi: 0.9125", "voices", "one: utterances 3, pesq 2.5"]
    (copied := tmp_path / "tiny").mkdir()
    (copied / "config.json").write_bytes((model / "config.json").read_bytes())
    assert main(["models", str(copied), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {**load(model).info(), "name": str(copied)}


def test_the_list_of_models_is_short_and_scores_fit_in_lines(capsys):
    assert main(["models"]) == 0
    blocks = capsys.readouterr().out.strip().split("\n\n")
    titles = [f"{name}{' (the default)' if name == 'reverse' else ''}" for name in shipped_models()]
    assert [block.splitlines()[0] for block in blocks] == titles
    assert all(block.endswith(f"shown by: vocoder models {block.split()[0]}") for block in blocks)
    assert max(block.count("\n") for block in blocks) < 8
    assert main(["models", "waveglow"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 120
    assert re.search(r"asterisk-en: utterances 5, pesq 3\.\d+, stoi 0\.98\d*, distillmos 3\.\d+\n", text)


def test_benchmark_prints_a_line_per_length_and_speed_is_audio_over_time(model, monkeypatch, capsys, cli_error):
    monkeypatch.setattr("vocoder.timing.MATRIX_SIZE", 64)
    arguments = ["benchmark", "--model", str(model), "--seconds", "0.1", "0.3", "--repetitions", "1"]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{model}, ")
    assert "threads, PyTorch" in lines[0]
    assert [line.split(" | ")[0].rstrip() for line in lines[4:]] == ["| 0.1 s", "| 0.3 s", "| first chunk of a stream"]
    assert main([*arguments, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["times_real_time"]["0.3 s"] == pytest.approx(26 * 256 / 22050 / figures["seconds"]["0.3 s"])
    for invalid in (["--seconds", "inf"], ["--repetitions", "0"], ["--seconds", "1", "-2"]):
        assert cli_error(main, "benchmark", "--model", model, *invalid).startswith("vocoder benchmark: ")
