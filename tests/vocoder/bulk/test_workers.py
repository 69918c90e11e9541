from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import mortal
import pytest

from vocoder.bulk.jobs import Job
from vocoder.bulk.synthesis import Outcome
from vocoder.bulk.workers import WorkerError, Workers


def jobs(folder: Path, *names: str) -> list[Job]:
    return [Job(folder / f"{name}.npy", folder / f"{name}.wav") for name in names]


def test_a_worker_that_dies_costs_the_file_that_killed_it_alone(tmp_path: Path) -> None:
    asked: list[str] = []

    def rows() -> Iterator[list[Job] | Outcome]:
        for names in ("ab", "-", "e", ("c", "d", "poison")):
            asked.append(names[0])
            yield (
                Outcome(Job(tmp_path / "text.npy", tmp_path / "text.wav"), error="no mel")
                if names == "-"
                else jobs(tmp_path, *names)
            )

    with Workers(mortal.Mortal, 1) as workers:
        run = workers.run(rows())
        outcomes = [next(run)]
        assert asked == ["a"]  # a row is made when it is asked for
        outcomes += run
    errors = {outcome.job.mel.stem: outcome.error for outcome in outcomes}
    assert len(outcomes) == len(errors) == 7
    assert errors.pop("text") == "no mel"
    assert errors.pop("poison") == "its worker died (signal 9)"
    assert errors == dict.fromkeys("abcde")
    spoken = [(tmp_path / f"{name}.wav").read_text(encoding="utf-8").split() for name in "abcde"]
    assert [words[:2] for words in spoken] == [[name, "by"] for name in "abcde"]
    assert all(len(words) == 3 for words in spoken)  # once, each


@pytest.mark.parametrize(
    ("make", "reason"), [(mortal.unloadable, "no weights for worker"), (mortal.stillborn, r"\(signal 9\)")]
)
def test_workers_that_cannot_start_end_the_run(make: object, reason: str, tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match=reason), Workers(make, 1) as workers:  # type: ignore[arg-type]
        list(workers.run(iter([jobs(tmp_path, "a")])))
