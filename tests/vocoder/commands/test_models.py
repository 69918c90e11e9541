import json
import re

from vocoder.cli import main
from vocoder.loading import load, shipped_models


def test_a_model_is_described_with_its_mel_config_and_quality(model, capsys):
    assert main(["models", str(model)]) == 0
    text = capsys.readouterr().out
    parameters = load(model).info()["parameters"] / 1e6
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[:3] == [str(model), "family waveglow", f"parameters {parameters:.1f} million"]
    assert "nvidia: 22050 Hz, n_fft 1024, window 1024, hop 256, 80 bands of 0 to 8000 Hz, ln, floor 1e-05" in text
    assert lines[-3:] == ["stoi: 0.9125", "voices", "one: utterances 3, pesq 2.5"]


def test_models_are_described_without_their_weights(model, tmp_path, capsys):
    copied = tmp_path / "tiny"
    copied.mkdir()
    (copied / "config.json").write_bytes((model / "config.json").read_bytes())
    assert main(["models", str(copied), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {**load(model).info(), "name": str(copied)}


def test_the_list_is_short_and_scores_are_shown_in_lines_that_can_be_read(capsys):
    assert main(["models"]) == 0
    blocks = capsys.readouterr().out.strip().split("\n\n")
    titles = [f"{name}{' (the default)' if name == 'reverse' else ''}" for name in shipped_models()]
    assert [block.splitlines()[0] for block in blocks] == titles
    assert all(block.endswith(f"shown by: vocoder models {block.split()[0]}") for block in blocks)
    assert max(block.count("\n") for block in blocks) < 8
    assert main(["models", "waveglow"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 120
    assert re.search(r"asterisk-en: utterances 5, pesq 3\.\d+, stoi 0\.98\d*, distillmos 4\.\d+\n", text)
