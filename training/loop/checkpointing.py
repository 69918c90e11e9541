"""Checkpoints: the complete state of a run, written atomically next to the previous checkpoint.

A run directory holds `checkpoints/step-N/` and the links `last` and `best` to them.
"""

import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load_file, load_model, save_file, save_model
from torch.optim.swa_utils import AveragedModel

from training.loop.objective import Objective
from training.loop.trainer_config import TrainerConfig
from vocoder.checkpoint import CheckpointError
from vocoder.command_line import CommandError
from vocoder.config import to_dict


def locked(directory: Path) -> AbstractContextManager[Any]:
    """Lock a run's directory against other processes until the end of the `with` block.

    Raises CheckpointError if another process holds the lock.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if os.environ.get("RANK", "0") != "0":
        return nullcontext()
    try:
        return FileLock(directory / ".lock").acquire(timeout=0)
    except Timeout:
        raise CheckpointError(f"another process is training in {directory}; wait for it, or stop it") from None


class Checkpoints:
    """The checkpoints of one run: `last` is the newest, `best` the one with the lowest validation score."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root, self.last, self.best = directory / "checkpoints", directory / "last", directory / "best"

    def write(self, step: int, names: list[str], fill: Callable[[Path], None]) -> None:
        """Write the checkpoint of `step` with `fill(directory)`, then point the links `names` at it.

        If the process is killed, the links still lead to complete checkpoints. Checkpoints without a link are removed.
        """
        final = self.root / f"step-{step:08d}"
        if not final.exists():
            partial = self.root / f"partial-{step:08d}"
            shutil.rmtree(partial, ignore_errors=True)
            try:
                partial.mkdir(parents=True)
                fill(partial)
                os.sync()
                partial.rename(final)
            except (OSError, RuntimeError, SafetensorError) as error:  # a full disk raises any of these
                shutil.rmtree(partial, ignore_errors=True)
                raise CommandError(f"cannot write {final}; {self.last} is the last checkpoint: {error}") from error
        for name in names:
            link = self.directory / f".{name}.partial"
            link.unlink(missing_ok=True)
            link.symlink_to(final.relative_to(self.directory))
            link.replace(self.directory / name)
        os.sync()
        self.prune()

    def prune(self) -> None:
        """Remove partial checkpoints and those without a link."""
        kept = {link.resolve() for link in (self.last, self.best) if link.is_symlink()}
        for path in self.root.iterdir() if self.root.is_dir() else ():
            if path.resolve() not in kept:
                shutil.rmtree(path)


@dataclass
class Progress:
    """The counters of a run, over all processes. They continue after a resume."""

    step: int = 0  # steps done
    epoch: int = 0
    items_in_epoch: int = 0  # items of the current epoch that have been used
    best_score: float | None = None
    nonfinite_steps: int = 0  # steps with at least one phase skipped because its loss or gradient was not finite
    nonfinite_in_a_row: int = 0
    minutes: float = 0.0  # Wall-clock time, including validation and checkpoints
    items: int = 0
    audio_seconds: float = 0.0  # seconds of audio seen; 0 if the data are not audio

    def note_step(self, finite: bool, items: int, audio_seconds: float) -> None:
        """Count one step of `items` items."""
        self.step += 1
        self.items += items
        self.items_in_epoch += items
        self.audio_seconds += audio_seconds
        self.nonfinite_steps += not finite
        self.nonfinite_in_a_row = 0 if finite else self.nonfinite_in_a_row + 1

    def note_score(self, score: float | None) -> bool:
        """Record a validation score and return whether it is the lowest so far."""
        if score is None or not math.isfinite(score) or (self.best_score is not None and score >= self.best_score):
            return False
        self.best_score = score
        return True


def run_progress(checkpoint: Path) -> Progress:
    """Return the progress stored in a checkpoint. Raises CheckpointError if it is missing or damaged."""
    try:
        return Progress(**json.loads((checkpoint / "trainer.json").read_text())["progress"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{checkpoint} has no valid checkpoint: {error}") from error


@dataclass
class RunState:
    """The parts of a run that change during training, except the random states of the processes."""

    objective: Objective
    optimisers: dict[str, torch.optim.Optimizer]
    average: AveragedModel  # moving average of the objective's model
    progress: Progress
    manifest: str | None = None  # hash of the recordings, if there are any; a run can only continue with the same ones

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Replace the objective's model by its average inside the `with` block."""
        model, self.objective.model = self.objective.model, self.average.module
        try:
            yield
        finally:
            self.objective.model = model

    def save(self, directory: Path, random_states: list[dict[str, Any]], config: TrainerConfig) -> None:
        """Write `objective.safetensors`, `ema.safetensors`, `optimisers.pt`, `random.pt` and `trainer.json`."""
        save_model(self.objective, str(directory / "objective.safetensors"))
        averages = {name: value.detach().contiguous() for name, value in self.average.module.named_parameters()}
        save_file(averages, directory / "ema.safetensors")
        torch.save({name: each.state_dict() for name, each in self.optimisers.items()}, directory / "optimisers.pt")
        torch.save({"processes": random_states}, directory / "random.pt")
        updates = int(self.average.n_averaged) - 1
        summary = {"progress": asdict(self.progress), "ema_updates": updates, "config": to_dict(config)}
        summary["manifest_sha256"] = self.manifest
        (directory / "trainer.json").write_text(json.dumps(summary, indent=2) + "\n")

    def load(self, directory: Path) -> list[dict[str, Any]]:
        """Read a checkpoint, without executing code in it, and return the random states of its processes.

        Raises CheckpointError if it is missing, or belongs to another model.
        """
        if not (directory / "trainer.json").is_file():
            raise CheckpointError(f"nothing to resume: there is no checkpoint in {directory}")
        try:
            load_model(self.objective, directory / "objective.safetensors")
            summary = json.loads((directory / "trainer.json").read_text())
            if summary.get("manifest_sha256") not in (None, self.manifest):
                raise ValueError(
                    "it was trained on another manifest, or this one was changed: output=DIR starts a new run"
                )
            averages = load_file(directory / "ema.safetensors")
            self.average.module.load_state_dict(self.objective.model.state_dict() | averages)
            self.average.n_averaged.fill_(summary["ema_updates"] + 1)
            saved = torch.load(directory / "optimisers.pt", map_location="cpu", weights_only=True)
            if saved.keys() != self.optimisers.keys():
                raise ValueError(f"its phases are {', '.join(saved)}, not {', '.join(self.optimisers)}")
            for name, optimiser in self.optimisers.items():
                optimiser.load_state_dict(saved[name])
            self.progress = Progress(**summary["progress"])
            random_states = torch.load(directory / "random.pt", map_location="cpu", weights_only=True)
            states: list[dict[str, Any]] = random_states["processes"]
        except Exception as error:  # whatever damaged files make their readers raise
            fault = str(error) or "one of its files ends too early"  # EOFError has no text
            raise CheckpointError(f"{directory} does not fit this configuration: {fault}") from error
        return states
