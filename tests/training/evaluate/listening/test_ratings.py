from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import pytest

from training.commands import ratings as command
from training.evaluate.listening.blind import HIDDEN_REFERENCE
from training.evaluate.listening.ratings import Rating, RatingError, read_key, read_ratings, unreliable, verdicts

KEY = {"aa": "good", "bb": "bad", "cc": HIDDEN_REFERENCE}
HEAD = "listener,trial,item,rating\r\n"


def written(folder: Path, text: str, name: str = "ratings.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_means_and_intervals_come_from_student() -> None:
    found = verdicts([Rating("x", "bad", v) for v in (10, 20, 30)] + [Rating("x", "good", 90)])
    assert [verdict.candidate for verdict in found] == ["good", "bad"]
    assert found[1].mean == pytest.approx(20.0)
    assert found[1].half_interval == pytest.approx(4.302653 * 10 / math.sqrt(3), rel=1e-5)  # t of 2 degrees, 97.5 %
    assert math.isinf(found[0].half_interval)


def test_who_does_not_find_the_hidden_reference_is_told() -> None:
    ratings = [("deaf", HIDDEN_REFERENCE, 40), ("keen", HIDDEN_REFERENCE, 95), ("keen", "bad", 0)]
    assert unreliable(Rating(*rating) for rating in ratings) == ["deaf"]


def test_the_command_reads_what_the_page_saves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = {item: {"candidate": name, "voice": "v", "path": "p"} for item, name in KEY.items()}
    rows = 'keen,1,aa,80\r\nkeen,1,bb,20\r\nkeen,1,cc,100\r\n"deaf, old",1,aa,0\r\n"deaf, old",1,cc,10\r\n'
    words = [str(written(tmp_path, json.dumps(key), "key.json")), str(written(tmp_path, HEAD + rows))]
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert command.run(parser.parse_args(words)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:4] == ["hidden", "reference", "1", "100.0"]
    assert lines[2].split()[:3] == ["good", "1", "80.0"]
    assert lines[-1].startswith("deaf, old is left out")
    assert command.run(parser.parse_args([*words, "--all"])) == 0
    assert ["good", "2", "40.0"] in [line.split()[:3] for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("listener,item\nx,aa\n", "lacks trial"),
        (HEAD + "x,1,zz,50\n", "of another test"),
        (HEAD + "x,1,aa,101\n", "from 0 to 100"),
        (HEAD + "x,1,aa,much\n", "from 0 to 100"),
    ],
)
def test_other_files_are_errors_that_say_so(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(RatingError, match=problem):
        read_ratings(written(tmp_path, text), KEY)
    with pytest.raises(RatingError, match="no key"):
        read_key(written(tmp_path, text))
    with pytest.raises(RatingError, match="cannot be read"):
        read_ratings(tmp_path / "none.csv", KEY)
