from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from training.loop.checkpointing import CheckpointError, Checkpoints, load_plain, load_tensors, save_plain, save_tensors


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


def test_a_moved_run_directory_still_works(tmp_path):
    Checkpoints(tmp_path / "a").write(1, ["last"], fill_with("x"))
    (tmp_path / "a").rename(tmp_path / "b")
    assert (Checkpoints(tmp_path / "b").last / "state").read_text() == "x"


def test_tensors_come_back_with_shared_ones_stored_once(tmp_path):
    shared = torch.randn(100, 100)
    tensors = {
        "a.weight": shared,
        "b.weight": shared,
        "transposed": shared.T,
        "flag": torch.tensor(True),
        "count": torch.tensor(3),
        "half": torch.randn(2, 3).bfloat16(),
        "channels": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "empty": torch.zeros(0),
    }
    path = tmp_path / "tensors.safetensors"
    save_tensors(path, tensors)
    loaded = load_tensors(path)
    assert loaded.keys() == tensors.keys()
    assert all(
        torch.equal(loaded[name], value) and loaded[name].dtype == value.dtype for name, value in tensors.items()
    )
    assert path.stat().st_size < 2.2 * shared.nbytes  # the transpose is another layout, hence the second copy


def test_missing_tensors_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.safetensors does not exist"):
        load_tensors(tmp_path / "none.safetensors")


def test_plain_state_cannot_run_code(tmp_path):
    save_plain(tmp_path / "bad.pt", {"call": print})
    with pytest.raises(pickle.UnpicklingError):
        load_plain(tmp_path / "bad.pt")
