from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from evaluation_corpus import RATE, voice, write_corpus

from training.corpora.manifest import ManifestError, read_manifest
from training.evaluate.recordings import Selection, recordings


def test_only_test_utterances_in_range_are_read_by_voice(tmp_path: Path) -> None:
    found = recordings(read_manifest(write_corpus(tmp_path)), Selection(0.5, 9.0))
    assert [(r.path, r.voice, r.seen) for r in found] == [
        ("4.flac", "high", False),
        ("5.flac", "high", False),
        ("1.flac", "low", True),
        ("2.flac", "low", True),
    ]
    np.testing.assert_allclose(found[2].x, voice(110.0, 1.0, seed=1), atol=2**-15)
    assert found[2].seconds == pytest.approx(1.0)
    assert found[2].at(16000).shape == (16000,)
    assert found[2].sample_rate == RATE


def test_limit_and_voices(tmp_path: Path) -> None:
    manifest = read_manifest(write_corpus(tmp_path))
    assert [r.path for r in recordings(manifest, Selection(0.5, 9.0, limit=1))] == ["4.flac", "1.flac"]
    assert [r.path for r in recordings(manifest, Selection(0.5, 9.0), ["low"])] == ["1.flac", "2.flac"]
    with pytest.raises(ManifestError, match="unknown speaker nobody"):
        recordings(manifest, Selection(0.5, 9.0), ["nobody"])
    with pytest.raises(ManifestError, match="no test utterance"):
        recordings(manifest, Selection(2.5, 9.0))


@pytest.mark.parametrize("values", [(-1.0, 2.0, None), (3.0, 2.0, None), (1.0, 2.0, 0)])
def test_impossible_selections_are_refused(values: tuple[float, float, int | None]) -> None:
    with pytest.raises(ValueError, match="must"):
        Selection(*values)
