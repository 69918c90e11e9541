from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from evaluation_corpus import RATE, voice, write_corpus, write_recordings

from training.corpora.manifest import Manifest, ManifestError, read_manifest
from training.evaluate.recordings import Selection, left_out, recordings


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


@pytest.mark.parametrize("values", [(-1.0, 2.0, None), (3.0, 2.0, None), (1.0, 2.0, 0), (1.0, 2.0, None, 0)])
def test_impossible_selections_are_refused(values: tuple) -> None:
    with pytest.raises(ValueError, match="must"):
        Selection(*values)


def speakers_of_two_corpora(folder: Path) -> Manifest:
    """Write corpus `many` with four held-out utterances of each of three speakers, and corpus `one` with two."""
    plan = [("many", speaker) for speaker in "abc" for _ in range(4)] + [("one", "d")] * 2
    told = [{"corpus": corpus, "speaker": speaker, "split": "test"} for corpus, speaker in plan]
    return write_recordings(folder, *((voice(120.0, 0.5, seed=i), entry) for i, entry in enumerate(told)))


def test_bounded_numbers_are_spread_evenly(tmp_path: Path) -> None:
    manifest = speakers_of_two_corpora(tmp_path)
    found = recordings(manifest, Selection(0.5, by="corpus"))
    assert [r.voice for r in found] == ["many"] * 12 + ["one"] * 2
    assert {(r.corpus, r.speaker) for r in found} == {("many", "a"), ("many", "b"), ("many", "c"), ("one", "d")}
    assert [r.voice for r in recordings(manifest, Selection(0.5))] == [*"aaaabbbbcccc", "d", "d"]

    def chosen(**bounds: int) -> list[int]:
        return [int(r.path.removesuffix(".flac")) for r in recordings(manifest, Selection(0.5, by="corpus", **bounds))]

    assert chosen(per_speaker=2) == [1, 3, 5, 7, 9, 11, 12, 13]
    assert chosen(limit=3) == [2, 6, 10, 12, 13]
    assert chosen(limit=1, per_speaker=1) == [6, 13]
    assert chosen(per_speaker=100) == list(range(14))


def test_rows_of_other_lengths_are_left_out(tmp_path: Path) -> None:
    manifest = read_manifest(write_corpus(tmp_path))
    assert left_out(manifest, Selection(1.15, 9.0)) == ["high"]
    assert left_out(manifest, Selection(1.15, 9.0, by="corpus")) == []
    with pytest.raises(ManifestError, match="no test utterance"):
        recordings(manifest, Selection(2.5, 9.0))
