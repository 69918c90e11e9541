"""The groups of recordings that corrections are measured on, and the tables."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from benchmarks import corrections
from training.corpora.manifest import Entry, ManifestError, read_manifest, write_manifest
from training.evaluate.candidates import of_vocoder
from training.evaluate.metric import Metric

sys.path.insert(0, str(Path(__file__).parents[1] / "vocoder"))

from tiny_models import TINY_MEL, tiny_synthesizer

PLAN = [
    ("asterisk-en", "train", 3.0),
    ("asterisk-en", "test", 3.0),
    ("asterisk-en", "test", 2.6),
    ("asterisk-it", "test", 3.0),
    ("klettres", "test", 1.3),
    ("klettres", "test", 1.0),
]


@pytest.fixture
def manifest(tmp_path: Path) -> Any:
    entries = []
    for i, (corpus, split, seconds) in enumerate(PLAN):
        x = 0.1 * np.random.default_rng(i).standard_normal(int(seconds * TINY_MEL.sample_rate))
        soundfile.write(tmp_path / f"{i}.flac", x, TINY_MEL.sample_rate)
        entries.append(Entry(f"{i}.flac", corpus, corpus, split, seconds, TINY_MEL.sample_rate, "none"))
    write_manifest(tmp_path / "manifest.jsonl", entries)
    return read_manifest(tmp_path)


def test_a_group_is_of_its_voices_and_lengths(manifest: Any) -> None:
    model = of_vocoder(tiny_synthesizer("lapped"), "tiny")
    found = corrections.grouped(manifest, model, None)
    expected = [("seen voices", "1.flac"), ("seen voices", "2.flac"), ("Italian", "3.flac"), ("klettres", "4.flac")]
    assert [(one.voice, one.path) for one in found] == expected
    assert len(corrections.grouped(manifest, model, 1)) == 3
    trained = type(manifest)(manifest.root, tuple(entry for entry in manifest.entries if entry.corpus == "other"))
    with pytest.raises(ManifestError, match="no held-out recording of seen voices, Italian"):
        corrections.grouped(trained, model, None)


def test_the_tables(manifest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corrections, "CORRECTIONS", (0, 1, 6))
    monkeypatch.setattr(corrections, "SECONDS", (0.1, 0.2))
    torch.manual_seed(0)  # weights of which no two numbers of corrections sound equally loud to three digits
    voice = tiny_synthesizer("lapped")
    found = corrections.grouped(manifest, of_vocoder(voice, "tiny"), 1)
    loudness = Metric("loudness", "loud", "higher", 3, lambda x, y, rate: float(y.std()), "a root mean square")
    lines = corrections.quality(voice, found, [loudness], 1).splitlines()
    assert [line.split(" | ")[1].strip() for line in lines[2:5]] == ["0", "1, as the model has it", "6"]
    assert len({line.split(" | ")[3] for line in lines[2:5]}) == 3
    assert len(lines) == 2 + 3 * 3
    rows = [line.strip("| ").split(" | ") for line in corrections.speed(voice, 1).splitlines()[2:]]
    first = corrections.Correction(TINY_MEL, 1).frames_ahead
    assert [(row[0], row[3]) for row in rows] == [("0", "0"), ("1", str(first)), ("6", str(first + 5))]
