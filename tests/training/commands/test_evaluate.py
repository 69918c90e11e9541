from __future__ import annotations

from pathlib import Path

import pytest
from evaluation_corpus import NoiseVocoder, write_corpus

from training.cli import main
from training.commands import evaluate
from training.evaluate import comparison
from training.evaluate.comparison import Comparison
from training.evaluate.recordings import Selection


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    return ["evaluate", "--manifest", str(write_corpus(tmp_path)), "-o", str(tmp_path / "out"), "--jobs", "1"]


def test_options_reach_the_comparison_and_models_are_called_as_they_were_asked_for(words, monkeypatch) -> None:
    seen = {}
    monkeypatch.setattr(evaluate, "load", lambda reference, guard: NoiseVocoder(reference))
    monkeypatch.setattr(evaluate, "compare", lambda models, *rest: seen.update(models=list(models), options=rest[-1]))
    more = ["--limit", "2", "--by", "corpus", "--own-mels", "--listen", "0", "--sigma", "0.5"]
    assert main([*words, "a/last", "b/last", *more, "--with-griffin-lim"]) == 0
    expected = Comparison(Selection(limit=2, by="corpus"), "own", True, sigma=0.5, examples=0)
    assert seen == {"models": ["a/last", "b/last"], "options": expected}


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (["a/last"], "a/last is given twice"),
        (["--limit", "0"], "limit must be at least 1"),
        (["--listen", "-1"], "--listen takes a number"),
        (["--jobs", "0", "--min-seconds", "0.5"], "at least 1 process"),
        (["--manifest", "none.jsonl"], "no manifest at none.jsonl"),
    ],
)
def test_wrong_arguments_are_errors_that_say_so(words, more, text, monkeypatch, capsys) -> None:
    monkeypatch.setattr(comparison, "METRICS", ())
    monkeypatch.setattr(evaluate, "load", lambda reference, guard: NoiseVocoder(reference))
    assert main([*words, "a/last", *more]) == 2
    assert text in capsys.readouterr().err


def test_predicted_mels_stand_alone(words, capsys) -> None:
    given = [words[0], "a/last", "--predicted", *words[2:]]
    assert main([*given, "--own-mels"]) == 2
    assert "leave out --own-mels" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*words, "a/last", "--predicted", words[2]])
