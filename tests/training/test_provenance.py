"""Where a run says that its model comes from: hours, licences, and which speech was made by a model."""

import numpy as np
import pytest
import soundfile

from training.corpora.manifest import Entry, ManifestError, read_manifest, write_manifest
from training.data.datasets import SegmentConfig, SegmentDataset
from training.provenance import provenance


def corpus(folder, **changes):
    rng = np.random.default_rng(0)
    entries = []
    for name, more in (("real", {}), ("made", {"synthetic": True}), ("kept", {"split": "test", **changes})):
        soundfile.write(folder / f"{name}.flac", 0.1 * rng.standard_normal(22050), 22050)
        fields = {"split": "train", "duration": 1.0, "sample_rate": 22050, "licence": f"{name}-1.0", **more}
        entries.append(Entry(path=f"{name}.flac", corpus=name, speaker=name, **fields))
    write_manifest(folder / "manifest.jsonl", entries)
    return read_manifest(folder)


def test_synthetic_speech_is_marked_and_what_is_not_trained_on_is_left_out(tmp_path):
    data = {entry["corpus"]: entry for entry in provenance(corpus(tmp_path))["data"]}
    assert data["made"]["synthetic"] is True
    assert "synthetic" not in data["real"]
    assert sorted(data) == ["made", "real"]


def test_a_run_over_what_is_for_evaluation_alone_is_refused(tmp_path):
    manifest = corpus(tmp_path, split="train", use="evaluate")
    with pytest.raises(ManifestError, match=r"kept \(kept-1.0\).*licence"):
        SegmentDataset(manifest, "train", SegmentConfig())
    assert len(SegmentDataset(manifest, "train", SegmentConfig(), ["real", "made"])) > 0
