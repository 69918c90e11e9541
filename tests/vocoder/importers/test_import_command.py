"""`vocoder import`, from the file to a waveform."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from foreign_files import pickled_waveglow, r9y9_state, save, waveglow_state

from vocoder.cli import main


def arguments(tmp_path: Path, layout: str) -> list[str]:
    """The arguments after `vocoder import` for a small file of a layout."""
    config, statistics = tmp_path / "config.json", tmp_path / "statistics.json"
    config.write_text(json.dumps({"stacks": 2}))
    statistics.write_text(json.dumps({"mean": [0.0] * 80, "variance": [1.0] * 80}))
    end = ["-o", str(tmp_path / "model")]
    if layout == "nvidia-waveglow":
        return ["--from", layout, str(pickled_waveglow(tmp_path / "a.pt", waveglow_state())), *end]
    more = ["--config", str(config), "--statistics", str(statistics)]
    return ["--from", layout, str(save(tmp_path / "a.pth", r9y9_state(2))), *more, *end]


@pytest.mark.parametrize("layout", ["nvidia-waveglow", "r9y9-wavenet"])
def test_a_file_becomes_a_model_that_speaks(tmp_path, capsys, layout):
    assert main(["import", *arguments(tmp_path, layout)]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{tmp_path / 'model'}: 0.")
    assert "computes in float32" in said
    assert ("slower than real time" in said) == (layout == "r9y9-wavenet")
    assert main(["models", str(tmp_path / "model"), "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert info["provenance"]["imported"]["layout"] == layout
    np.save(tmp_path / "mel.npy", np.full((info["mel"]["n_mels"], 2), -5.0, dtype=np.float32))
    speak = ["synthesize", str(tmp_path / "mel.npy"), "-o", str(tmp_path / "x.wav"), "--model", str(tmp_path / "model")]
    assert main([*speak, "--seed", "1"]) == 0
    x, sample_rate = soundfile.read(tmp_path / "x.wav")
    assert sample_rate == 22050
    assert x.shape == (512,)
    assert float(x.std()) > 0


def test_what_cannot_be_imported_leaves_nothing_behind(tmp_path, capsys):
    (tmp_path / "a.pt").write_bytes(b"no checkpoint")
    for layout in ("nvidia-waveglow", "r9y9-wavenet"):
        assert main(["import", "--from", layout, str(tmp_path / "a.pt"), "-o", str(tmp_path / "model")]) == 2
        assert "is no PyTorch checkpoint" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()
