"""The table of fine-tuned voices: the same recordings for every cell, and no more speech than it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks import own_voice, own_voice_recordings
from recipes.corpora.kokoro import KEPT_OUT


def test_the_first_minutes_are_the_same_for_every_number_of_minutes(tmp_path: Path, monkeypatch) -> None:
    planned: list[tuple[str, ...]] = []

    def speak(utterances, folder, jobs):
        planned.append(tuple(u.text for u in utterances))
        assert all(u.weights == ((KEPT_OUT, 1.0),) for u in utterances)
        for utterance in utterances:
            path = folder / utterance.speaker / utterance.name
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, np.zeros(int(24000 * utterance.seconds)), 24000)
            yield path

    sentences = tuple(f"sentence number {i} {'is long ' * (i % 9)}." for i in range(300))
    monkeypatch.setattr(own_voice_recordings.fortunes, "sentences", lambda language, cache: sentences)
    monkeypatch.setattr(own_voice_recordings.kokoro, "synthesise", speak)
    short = own_voice_recordings.recordings_of("kokoro", 0.5, tmp_path)
    longer = own_voice_recordings.recordings_of("kokoro", 1.5, tmp_path)
    assert planned[0] == planned[1][: len(planned[0])]
    assert longer[: len(short)] == short
    assert 30 <= sum(seconds for _, seconds in short) < 30 + 12
    cell = own_voice.first_minutes(longer, 0.5)
    assert cell == [path for path, _ in short]


def test_an_unknown_voice_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no voice 'mine'; known: kokoro, italian"):
        own_voice_recordings.recordings_of("mine", 1, tmp_path)
