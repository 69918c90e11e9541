"""The Python code of the README and the documents, the notebook and the demo run as written."""

import json
import re
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import demo
import httpx
import numpy as np
import pytest
import soundfile

from vocoder.audio.writing import audio_info
from vocoder.mel.config import preset

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
DOCUMENTS = [README, ROOT / "docs" / "python.md"]
BLOCKS = [
    pytest.param(block, id=f"{path.name}-{index}")
    for path in DOCUMENTS
    for index, block in enumerate(re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.DOTALL))
]
FRAMES = 20
MAX_WORDS = 1200
MAX_CLIP_BYTES = 60_000


@pytest.mark.filterwarnings("ignore::vocoder.MelWarning")  # the mel is artificial
@pytest.mark.parametrize("block", BLOCKS)
def test_python_blocks_run(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = preset("nvidia")
    np.save("mel.npy", np.full((config.n_mels, FRAMES), -6.0, dtype=np.float32))
    exec(compile(block, "<python block of a document>", "exec"), {})
    x, sample_rate = soundfile.read("speech.wav")
    assert (sample_rate, x.shape) == (config.sample_rate, (FRAMES * config.hop_length,))
    assert 0.0 < np.abs(x).max() <= 1.0
    origin = audio_info("speech.wav").origin
    assert (origin.model, origin.seed, origin.synthetic) == ("reverse", 1, True)


def test_the_readme_is_short_and_each_document_has_a_block():
    assert len(README.read_text(encoding="utf-8").split()) <= MAX_WORDS
    assert {str(block.id).rpartition("-")[0] for block in BLOCKS} == {path.name for path in DOCUMENTS}


def test_the_readmes_sounds_are_small_and_of_equal_length():
    names = re.findall(r"\]\((docs/sounds/[\w-]+\.opus)\)", README.read_text(encoding="utf-8"))
    assert len(names) >= 6
    assert [name for name in names if (ROOT / name).stat().st_size > MAX_CLIP_BYTES] == []
    seconds = {}
    for name in names:
        with soundfile.SoundFile(ROOT / name) as file:
            seconds.setdefault(Path(name).name.split("-")[0], set()).add(round(file.frames / file.samplerate, 2))
    assert {len(of_one) for of_one in seconds.values()} == {1}
    assert all(0.0 < value < 10.0 for of_one in seconds.values() for value in of_one)


EXAMPLES = ROOT / "examples"
CELLS = json.loads((EXAMPLES / "notebook.ipynb").read_text(encoding="utf-8"))["cells"]
SOURCES = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]
TWO_SECONDS = "x[: 2 * v.sample_rate]"  # shortened for the test


def test_the_notebook_runs_and_shows_its_results(monkeypatch):
    """A replacement for IPython collects the played audio."""
    played, names = [], {}
    display = SimpleNamespace(Audio=lambda x, rate: played.append(np.asarray(x)), display=lambda *things: None)
    monkeypatch.chdir(EXAMPLES)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    for index, source in enumerate(SOURCES):
        shorter = source.replace(TWO_SECONDS, "x[: v.sample_rate * 2 // 3]")
        exec(compile(shorter, f"<code cell {index} of notebook.ipynb>", "exec"), names)
    assert TWO_SECONDS in "".join(SOURCES)
    assert np.abs(np.concatenate(names["pieces"]) - names["y"]).max() < 1e-3
    assert len(names["pieces"]) > 1
    assert len(played) == 4
    assert all(np.isfinite(x).all() and 0.0 < np.abs(x).max() <= 1.0 for x in played)
    assert not names["verdict"].typical
    assert names["verdict"].cause == "log10"
    assert float((names["again"] - names["audio"]).abs().max()) < 1e-2
    assert 0.3 < float(names["z"].std()) < 3.0
    assert names["nats"] < 0.0
    shown = [cell["outputs"] for cell in CELLS if cell["cell_type"] == "code"]
    assert all(shown)
    assert {kind for outputs in shown for output in outputs for kind in output.get("data", {})} == {"text/plain"}
    assert "The mel looks like decimal logarithms" in json.dumps(shown)


def test_timeouts_of_the_demo_are_explained(monkeypatch):
    monkeypatch.setattr(demo, "ANSWER_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:  # accepts connections but never answers
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(demo.DemoError, match=r"GET /models was not answered within .* s: this machine is busy"):
            demo.default_mel_config(url)
        with pytest.raises(demo.DemoError, match=r"POST /synthesize was not answered within .* s: .* make demo ARGS="):
            demo.synthesize(url, np.zeros((80, 10), np.float32))


def test_the_demo_waits_for_a_slow_server_and_reports_progress(tmp_path, monkeypatch, capsys):
    late = Mock(side_effect=httpx.ReadTimeout("timed out"))
    monkeypatch.setattr(demo.httpx, "get", late)
    monkeypatch.setattr(demo, "PATIENCE_SECONDS", 0.05)
    log = tmp_path / "server.log"
    log.write_text("ready on http://127.0.0.1:8000")
    process = SimpleNamespace(returncode=3, poll=iter([None, None, None, 3]).__next__)
    with pytest.raises(demo.DemoError, match="the server ended with status 3; its log:\nready on"):
        demo.wait_until_ready(process, log)
    assert late.call_count > 1
    assert "the server is still starting after 0 s" in capsys.readouterr().out
