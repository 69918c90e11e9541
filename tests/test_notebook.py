"""The notebook's cells run one after another, and end where they say."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
CELLS = json.loads((EXAMPLES / "notebook.ipynb").read_text(encoding="utf-8"))["cells"]
SOURCES = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]
TWO_SECONDS = "x[: 2 * v.sample_rate]"
"""of which a test needs less"""


@pytest.fixture(scope="module")
def run():
    """What the cells named, and what they played: something stands in for IPython, which the suite does without."""
    played, names = [], {}
    display = SimpleNamespace(Audio=lambda x, rate: played.append(np.asarray(x)), display=lambda *things: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(EXAMPLES)
        patch.setitem(sys.modules, "IPython", SimpleNamespace())
        patch.setitem(sys.modules, "IPython.display", display)
        for index, source in enumerate(SOURCES):
            shorter = source.replace(TWO_SECONDS, "x[: v.sample_rate * 2 // 3]")
            exec(compile(shorter, f"<code cell {index} of notebook.ipynb>", "exec"), names)
    return names, played


def test_streams_and_synthesis_agree_and_all_that_is_played_is_audio(run):
    names, played = run
    assert TWO_SECONDS in "".join(SOURCES)
    assert np.abs(np.concatenate(names["pieces"]) - names["y"]).max() < 1e-3
    assert len(names["pieces"]) > 1
    assert len(played) == 4
    assert all(np.isfinite(x).all() and 0.0 < np.abs(x).max() <= 1.0 for x in played)


def test_decimal_logarithms_are_recognised(run):
    verdict = run[0]["verdict"]
    assert not verdict.typical
    assert verdict.cause == "log10"


def test_a_recording_comes_back_from_its_noise(run):
    names = run[0]
    assert float((names["again"] - names["audio"]).abs().max()) < 1e-2
    assert 0.3 < float(names["z"].std()) < 3.0
    assert names["nats"] < 0.0


def test_cells_keep_what_a_run_said_and_no_sounds():
    shown = [cell["outputs"] for cell in CELLS if cell["cell_type"] == "code"]
    assert all(shown)
    assert {kind for outputs in shown for output in outputs for kind in output.get("data", {})} == {"text/plain"}
    assert "The mel looks like decimal logarithms" in json.dumps(shown)
