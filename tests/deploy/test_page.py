"""The folder written by `make page`: the page, the runtime, and descriptions of the models."""

import json
from pathlib import Path

import numpy as np
import pytest

from deploy import page
from vocoder.mel.config import preset
from vocoder.mel.spectrogram import mel_filterbank

PAGES = Path(__file__).parents[2] / "server" / "pages"


@pytest.fixture
def runtime(tmp_path):
    (folder := tmp_path / "dist").mkdir()
    for name in (*page.WASM, "ort.all.js"):
        (folder / name).write_bytes(name.encode())
    return folder


@pytest.fixture
def exports(monkeypatch):
    """Return a list of the exports, which are replaced by dummy files; programs are tested elsewhere."""
    made = []

    def export(voice, format_name, file, **options):
        made.append({"name": voice.name, "format": format_name, **options})
        file.write_bytes(b"program")

    monkeypatch.setattr(page, "export_model", export)
    return made


def test_the_folder_contains_the_page_and_its_models(model, runtime, tmp_path, exports):
    site = tmp_path / "site"
    assert page.main([str(model), "-o", str(site), "--runtime", str(runtime), "--corrections", "3"]) == 0
    assert (site / "index.html").read_bytes() == (PAGES / "index.html").read_bytes()
    for path in PAGES.rglob("*.js"):
        assert (site / "page" / path.relative_to(PAGES)).read_bytes() == path.read_bytes()
    local = site / "page" / "local"
    assert {path.name for path in local.iterdir()} == {*page.WASM, "index.json", "tiny.onnx", "tiny-filterbank.npy"}
    assert exports == [{"name": str(model), "format": "onnx", "corrections": 3, "weights": "float16"}]
    index = json.loads((local / "index.json").read_text())
    assert (index["alone"], site.stat().st_mode & 0o777) == (True, 0o755)
    (described,) = index["models"]
    assert (described["name"], described["file"], described["corrections"]) == ("tiny", "tiny.onnx", 3)
    assert described["z_channels"] * described["z_steps_per_frame"] == described["mel"]["hop_length"] == 256
    bank = np.load(local / described["filterbank"])
    np.testing.assert_array_equal(bank, mel_filterbank(preset("nvidia")).float().numpy())


@pytest.mark.usefixtures("exports")
def test_the_folder_can_be_rewritten_but_other_folders_are_not_replaced(model, runtime, tmp_path, capsys):
    arguments = [str(model), "-o", str(site := tmp_path / "site"), "--runtime", str(runtime)]
    assert page.main(arguments) == 0
    (site / "page" / "old.js").write_text("")
    assert page.main(arguments) == 0
    assert not (site / "page" / "old.js").exists()
    assert page.main([str(model), *arguments]) == 2
    assert "several files would be written to tiny.onnx" in capsys.readouterr().err
    (other := tmp_path / "other").mkdir()
    (other / "mine.txt").write_text("mine")
    assert page.main([str(model), "-o", str(other), "--runtime", str(runtime)]) == 2
    assert "holds something else" in capsys.readouterr().err
    assert [path.name for path in other.iterdir()] == ["mine.txt"]
