from __future__ import annotations

from pathlib import Path

import pytest

from training.loop.checkpointing import Checkpoints


class Killed(BaseException):
    """Stands for the end of the process: nothing after it runs."""


def fill_with(text: str):
    return lambda directory: (directory / "state").write_text(text)


def die(*_: object, **__: object) -> None:
    raise Killed


def half_written(directory: Path) -> None:
    (directory / "state").write_text("ha")
    raise Killed


@pytest.mark.parametrize("moment", ["filling", "renaming", "linking"])
def test_killed_while_writing_the_old_checkpoint_stays(tmp_path, monkeypatch, moment):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.write(1, ["last", "best"], fill_with("old"))
    fill = half_written if moment == "filling" else fill_with("new")
    with monkeypatch.context() as patch:
        if moment == "renaming":
            patch.setattr(Path, "rename", die)
        if moment == "linking":
            patch.setattr(Path, "replace", die)
        with pytest.raises(Killed):
            checkpoints.write(2, ["last"], fill)
    assert (checkpoints.last / "state").read_text() == "old"
    again = Checkpoints(tmp_path)
    again.prune()
    assert [path.name for path in again.root.iterdir()] == ["step-00000001"]
    again.write(2, ["last"], fill_with("new"))
    assert (again.last / "state").read_text() == "new"
    assert (again.best / "state").read_text() == "old"


def test_only_linked_checkpoints_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step, names in [(1, ["last", "best"]), (2, ["last"]), (3, ["last"]), (4, ["last", "best"])]:
        checkpoints.write(step, names, fill_with(str(step)))
        kept = {path.name for path in checkpoints.root.iterdir()}
        assert kept == {f"step-{max(1, step):08d}"} | ({"step-00000001"} if step < 4 else set())
