import shutil

import numpy as np
import pytest
from evaluation_corpus import write_recordings

from benchmarks import adapters
from training.corpora.manifest import Manifest, ManifestError
from vocoder.adapt.adapter import DIRECTORY, load_adapter


def test_only_voices_unseen_by_the_adapters_are_used(tmp_path):
    plan = [("asterisk-it", 3.0), ("asterisk-en", 3.0), ("klettres", 1.3), ("klettres", 1.0)]
    audio = ((0.1 * np.ones(int(seconds * 8000)), {"corpus": c, "speaker": c, "split": "test"}) for c, seconds in plan)
    manifest = write_recordings(tmp_path, *audio, rate=8000)
    found = adapters.chosen(manifest, 4)
    assert [(one.voice, one.entry.path) for one in found] == [("asterisk-it", "0.flac"), ("klettres", "2.flac")]
    with pytest.raises(ManifestError, match="no recordings of asterisk-it"):
        adapters.chosen(Manifest(tmp_path, manifest.entries[1:2]), 4)


def test_measured_scores_are_stored_in_the_adapter(tmp_path):
    shutil.copytree(DIRECTORY / "espnet", tmp_path / "espnet")
    before = load_adapter(DIRECTORY / "espnet")
    adapters.record(tmp_path / "espnet", {"pesq_lost": {"klettres": 0.25}}, "waveglow")
    after = load_adapter(tmp_path / "espnet")
    assert after.quality == {"pesq_lost": {"klettres": 0.25}, "model": "waveglow"}
    assert "0.25 on klettres" in (tmp_path / "espnet" / "README.md").read_text()
    weights = [adapter.model.linear.weight for adapter in (before, after)]
    assert bool((weights[0] == weights[1]).all())


def test_losses_skip_undefined_scores():
    own = {"pesq": {"a": [3.0, 4.0]}, "distillmos": {"a": [4.0, float("nan")]}}
    theirs = {"pesq": {"a": [3.0, 3.5]}, "distillmos": {"a": [3.9, float("nan")]}}
    assert adapters.losses(theirs, own) == {"pesq_lost": {"a": 0.25}, "distillmos_lost": {"a": 0.1}}
