"""What a fine-tuning came to: the better of two models, never one that is worse than what it started from."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from training.commands import evaluate
from training.commands.publish import publish
from training.corpora.manifest import Manifest
from training.finetune.recordings import predicted
from training.finetune.verdict import Change, better, changes, faults, unscored, worse
from training.loop.checkpointing import Checkpoints
from training.loop.run_state import run_progress
from vocoder.loading import load, model_directory
from vocoder.synthesizer import Synthesizer

__all__ = ["AFTER", "BEFORE", "BEST", "Outcome", "compared", "publish_best"]

BEFORE, AFTER, BEST = "before", "after", "best in validation"
"""what the report calls the models"""


@dataclass(frozen=True)
class Outcome:
    """Which model a fine-tuning ends with, and why.

    Attributes:
        model: its directory.
        label: `BEFORE` where the starting weights are kept, else `AFTER` or `BEST`.
        changes: from before to after.
        sentence: what to say about it.
        report: folder of the evaluation.
    """

    model: Path
    label: str
    changes: tuple[Change, ...]
    sentence: str
    report: Path


def compared(start_from: str, training: Path, manifest: Manifest, report: Path, seed: int, jobs: int) -> Outcome:
    """Evaluate the starting model and those of a run beside Griffin-Lim, and choose.

    The last weights come first, where the learning rate has come to rest: critics sharpen what the spectral distance of
    validation would have blurred. The best in validation are for where the last lost something.

    Args:
        start_from: directory or name of the starting model.
        training: folder of the run's checkpoints.
        manifest: of the voice, whose held-out recordings are spoken.
        report: folder for the report.
        seed: of the models' noise.
        jobs: processes that score.
    """
    models = _candidates(Checkpoints(training))
    names = {start_from: BEFORE} | {str(model): label for label, model in models.items()}
    words = [*names, "--manifest", str(manifest.root / "manifest.jsonl"), "-o", str(report)]
    words += ["--min-seconds", "0.5", "--max-seconds", "20", "--by", "corpus", "--with-griffin-lim"]
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    evaluate.evaluate_all(parser.parse_args([*words, f"--seed={seed}", f"--jobs={jobs}"]), partial(_named, names))
    utterances = json.loads((report / "evaluation.json").read_text(encoding="utf-8"))["utterances"]
    best, reasons = run_progress(Checkpoints(training).best).step, []
    for label, model in models.items():
        step = run_progress(model.parent).step
        why = _refusal(utterances, label, predicted(manifest), improved=best > 0, is_best=step == best > 0)
        if why is None:
            return _published(model, label, tuple(changes(utterances, BEFORE, label)), step, report)
        reasons.append(why)
    sentence = f"The starting weights of {start_from} are published as they were: {reasons[0]}."
    return Outcome(model_directory(start_from), BEFORE, tuple(changes(utterances, BEFORE, AFTER)), sentence, report)


def publish_best(outcome: Outcome, output: Path, folder: Path) -> None:
    """Write the model directory of an outcome, with scores, licences and a card that says how it came about.

    `outcome.json` in the folder of the run says the same to programs.

    Args:
        outcome: what to publish.
        output: the directory.
        folder: of the run.
    """
    told = {
        "kept": outcome.label == BEFORE,
        "sentence": outcome.sentence,
        "changes": list(map(asdict, outcome.changes)),
    }
    (folder / "outcome.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    publish(outcome.model, output, [outcome.report / "quality.json"], outcome.label, _notes(outcome))


def _candidates(checkpoints: Checkpoints) -> dict[str, Path]:
    """Return what may be published, the first choice first: the last weights, and the best in validation."""
    last, best = run_progress(checkpoints.last).step, run_progress(checkpoints.best).step
    earlier = {BEST: checkpoints.best / "model"} if 0 < best < last else {}
    return {AFTER: checkpoints.last / "model"} | earlier


def _refusal(
    utterances: Sequence[Mapping[str, Any]], label: str, from_predicted: bool, improved: bool, is_best: bool
) -> str | None:
    """Return why a model is not published, or None where it is."""
    found = changes(utterances, BEFORE, label)
    if unscored(utterances, label):
        return "what was trained speaks held-out recordings in a way that cannot be scored"
    lost = faults(found, from_predicted)
    if lost:
        return f"held-out recordings lost more than noise in {lost[0]}"
    # Where nothing is scored, validation alone can tell, and of the best alone.
    return (
        None
        if is_best or (found and improved) or better(found)
        else "neither validation nor the scores of held-out recordings improved"
    )


def _published(model: Path, label: str, found: tuple[Change, ...], step: int, report: Path) -> Outcome:
    which = "the last" if label == AFTER else "the best in validation"
    gained = ", ".join(change.title for change in better(found)) or "nothing"
    lost = ", ".join(change.title for change in worse(found)) or "nothing"
    said = f"The weights of step {step}, {which}, are published: {gained} got better by more than noise, {lost} worse."
    return Outcome(model, label, found, said, report)


def _notes(outcome: Outcome) -> str:
    lines = ["## Fine-tuning", outcome.sentence, "On held-out recordings of the voice, before and after:"]
    return "\n\n".join([*lines, "\n".join(f"- {change}" for change in outcome.changes)]) + "\n"


def _named(names: dict[str, str], model: str) -> Synthesizer:
    vocoder = load(model, guard="off")
    vocoder.name = names[model]
    return vocoder
