"""A folder of speech: what is written is what was spoken, and only what is missing is spoken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from recipes.acoustic import speech
from recipes.acoustic.speech import INDEX, RATE, Line, read_speech, synthesise
from recipes.corpora.kokoro import Utterance
from recipes.corpora.kokoro_voice import UNIT, KokoroVoice
from training.corpora.corpus import CorpusError
from vocoder.config import ConfigError, to_dict

PLANNED = tuple(
    Utterance(k, f"voice-{k}", (("a", 0.25), ("b", 0.75)), "it", f"{'la' * (k + 1)}.", 1.0) for k in range(3)
)


class Fake:
    """Noise of three units for each token."""

    def __init__(self) -> None:
        self.feeds: list[dict[str, np.ndarray]] = []

    def run(self, output_names: None, feeds: dict[str, np.ndarray]) -> Any:
        self.feeds.append(feeds)
        count = feeds["tokens"].shape[1]
        x = 0.1 * np.random.default_rng(count).standard_normal(3 * UNIT * count).astype(np.float32)
        return [x, np.full(count, 3.0, np.float32), np.full(6 * count, 120.04, np.float32)]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    session = Fake()
    styles = {"a": np.zeros((4, 256), np.float32), "b": np.arange(4, dtype=np.float32)[:, None] * np.ones(256)}
    monkeypatch.setattr(speech, "start_voice", lambda: KokoroVoice(session, {"l": 1, "a": 2}, styles))
    monkeypatch.setattr(speech, "phonemes", lambda text, language: text)
    return session


def test_lines_say_what_the_files_hold(fake: Fake, tmp_path: Path) -> None:
    lines = list(synthesise(PLANNED, tmp_path))
    assert read_speech(tmp_path) == tuple(lines)
    for number, line in enumerate(lines):
        x, rate = soundfile.read(tmp_path / line.path)
        assert (len(x), rate) == (line.samples, RATE)
        assert line.samples == -(-sum(line.durations) * UNIT * 147 // 160)
        assert line.tokens == (0, *(1, 2) * (number + 1), 0)
        assert np.sqrt(np.mean(x**2)) == pytest.approx(0.06, rel=1e-3)
        assert set(line.pitch) == {120.0}


def test_the_style_is_mixed_and_chosen_by_the_number_of_phonemes(fake: Fake, tmp_path: Path) -> None:
    lines = list(synthesise(PLANNED, tmp_path))
    # Two, four and six phonemes take rows 1, 3 and, of four, the last.
    assert [line.style[0] for line in lines] == [0.75, 2.25, 2.25]
    assert [feeds["style"][0, 0] for feeds in fake.feeds] == [0.75, 2.25, 2.25]


def test_only_what_is_missing_is_spoken(fake: Fake, tmp_path: Path) -> None:
    first = list(synthesise(PLANNED[:2], tmp_path))
    again = list(synthesise(PLANNED, tmp_path))
    assert again[:2] == first
    assert len(fake.feeds) == 3
    assert len((tmp_path / INDEX).read_text().splitlines()) == 3


def test_wrong_folders_say_what_is_wrong(fake: Fake, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"holds no speech\.jsonl"):
        read_speech(tmp_path)
    (tmp_path / INDEX).write_text('{"path": 3}\n')
    with pytest.raises(CorpusError, match=r"speech\.jsonl: path must be str"):
        read_speech(tmp_path)
    line = to_dict(next(iter(synthesise(PLANNED[:1], tmp_path / "other"))))
    with pytest.raises(ConfigError, match="a duration of at least 1"):
        Line(**{**line, "durations": (0, 1, 1, 1)})
    with pytest.raises(ConfigError, match="pitch needs 24 values"):
        Line(**{**line, "pitch": ()})
