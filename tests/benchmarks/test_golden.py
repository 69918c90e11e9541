import numpy as np
import pytest
from tiny_models import random_voice

from benchmarks.golden import compare, difference, record, report

SILENT = np.zeros(8, dtype=np.float32)


def test_what_was_recorded_is_the_same(tmp_path, monkeypatch):
    mel = np.full((80, 12), -6.0, dtype=np.float32)
    monkeypatch.setattr("benchmarks.golden.golden_mels", lambda config: {"sentence": mel, "word": mel[:, :9]})
    monkeypatch.setattr("benchmarks.golden.loaded", lambda name: random_voice())
    record(tmp_path, ["tiny"])
    assert compare(tmp_path, ["tiny"])
    kept = dict(np.load(tmp_path / "tiny.npz"))
    kept["streamed word"][0] += 0.1
    np.savez(tmp_path / "tiny.npz", **kept)
    assert not compare(tmp_path, ["tiny"])


def test_the_difference_is_relative_and_in_decibels():
    x = np.array([3.0, -4.0], dtype=np.float32)
    assert difference(1.1 * x, x) == pytest.approx(-20.0, abs=1e-4)
    assert difference(x[:1], x) == float("inf")
    assert difference(SILENT, SILENT) == -float("inf")


def test_a_recording_of_other_mels_is_refused():
    with pytest.raises(ValueError, match="the recording holds"):
        report({"whole word": SILENT}, {"whole sentence": SILENT})
