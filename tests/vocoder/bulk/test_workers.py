from collections.abc import Iterator
from pathlib import Path

import mortal
import pytest

from vocoder.bulk.jobs import Job
from vocoder.bulk.workers import in_processes


def jobs(folder: Path, *names: str) -> list[Job]:
    return [Job(folder / f"{name}.npy", folder / f"{name}.wav") for name in names]


def test_a_worker_that_dies_costs_the_file_that_killed_it_alone(tmp_path):
    asked: list[str] = []

    def rows() -> Iterator[list[Job]]:
        for names in ("ab", ("c", "d", "poison"), "e", "f"):
            asked.append(names[0])
            yield jobs(tmp_path, *names)

    run = in_processes(rows(), mortal.mortal, 1)
    outcomes = [next(run)]
    assert asked == ["a", "c"]  # no row is made long before it is needed
    outcomes += run
    errors = {outcome.job.mel.stem: outcome.error for outcome in outcomes}
    assert len(outcomes) == len(errors) == 7
    assert errors.pop("poison") == "its worker died"
    assert errors == dict.fromkeys("abcdef")
    assert [(tmp_path / f"{name}.wav").read_text(encoding="utf-8") for name in "abcdef"] == [f"{n}\n" for n in "abcdef"]


@pytest.mark.parametrize(
    ("work", "error", "reason"),
    [(mortal.unloadable, ValueError, "no weights"), (mortal.stillborn, OSError, "while it loaded the model")],
)
def test_workers_that_cannot_start_end_the_run(work, error, reason, tmp_path):
    with pytest.raises(error, match=reason):
        list(in_processes([jobs(tmp_path, "a")], work, 1))
