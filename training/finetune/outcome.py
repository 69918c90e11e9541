"""What a fine-tuning came to: the better of two models, never one that is worse than what it started from."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from training.commands import evaluate, publish
from training.corpora.manifest import Manifest
from training.finetune.verdict import Change, better, changes, worse
from training.loop.run_state import run_progress
from vocoder.loading import load, model_directory
from vocoder.synthesizer import Synthesizer

__all__ = ["AFTER", "BEFORE", "Outcome", "compared", "publish_best"]

BEFORE, AFTER = "before", "after"
"""what the report calls the two models"""


@dataclass(frozen=True)
class Outcome:
    """Which model a fine-tuning ends with, and why.

    Attributes:
        model: its directory.
        label: `BEFORE` where the starting weights are kept, else `AFTER`.
        changes: from before to after.
        sentence: what to say about it.
        report: folder of the evaluation.
    """

    model: Path
    label: str
    changes: tuple[Change, ...]
    sentence: str
    report: Path


def compared(start_from: str, best: Path, manifest: Manifest, report: Path, seed: int, jobs: int) -> Outcome:
    """Evaluate the starting model and the best of a run beside Griffin-Lim, and choose.

    Args:
        start_from: directory or name of the starting model.
        best: model directory of the checkpoint with the best validation.
        manifest: of the voice, whose held-out recordings are spoken.
        report: folder for the report.
        seed: of the models' noise.
        jobs: processes that score.
    """
    words = [start_from, str(best), "--manifest", str(manifest.root / "manifest.jsonl"), "-o", str(report)]
    words += ["--min-seconds", "0.5", "--max-seconds", "20", "--by", "corpus", "--with-griffin-lim"]
    names = {start_from: BEFORE, str(best): AFTER}
    evaluate.evaluate_all(
        _parsed(evaluate.add_arguments, [*words, f"--seed={seed}", f"--jobs={jobs}"]), partial(_named, names)
    )
    utterances = json.loads((report / "evaluation.json").read_text(encoding="utf-8"))["utterances"]
    found = tuple(changes(utterances, BEFORE, AFTER))
    step = run_progress(best.parent).step
    if step == 0:
        return _kept(start_from, found, report, "validation improved at no time")
    lost = worse(found)
    if lost:
        return _kept(start_from, found, report, f"held-out recordings lost more than noise in {lost[0]}")
    gained = ", ".join(change.title for change in better(found)) or "nothing"
    sentence = (
        f"The weights of step {step}, the best in validation, are published: {gained} got better by more than noise"
    )
    return Outcome(best, AFTER, found, f"{sentence}, nothing worse.", report)


def publish_best(outcome: Outcome, output: Path, folder: Path) -> None:
    """Write the model directory of an outcome, with scores, licences and a card that says how it came about.

    `outcome.json` in the folder of the run says the same to programs.

    Args:
        outcome: what to publish.
        output: the directory.
        folder: of the run, where the notes are kept.
    """
    told = {
        "kept": outcome.label == BEFORE,
        "sentence": outcome.sentence,
        "changes": list(map(asdict, outcome.changes)),
    }
    (folder / "outcome.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    notes = folder / "notes.md"
    notes.write_text(_notes(outcome), encoding="utf-8")
    words = [str(outcome.model), "-o", str(output), "--quality", str(outcome.report / "quality.json")]
    publish.run(_parsed(publish.add_arguments, [*words, "--scores-of", outcome.label, "--notes", str(notes)]))


def _kept(start_from: str, found: tuple[Change, ...], report: Path, why: str) -> Outcome:
    sentence = f"The starting weights of {start_from} are published as they were: {why}."
    return Outcome(model_directory(start_from), BEFORE, found, sentence, report)


def _notes(outcome: Outcome) -> str:
    lines = ["## Fine-tuning", outcome.sentence, "On held-out recordings of the voice, before and after:"]
    return "\n\n".join([*lines, "\n".join(f"- {change}" for change in outcome.changes)]) + "\n"


def _named(names: dict[str, str], model: str) -> Synthesizer:
    vocoder = load(model, guard="off")
    vocoder.name = names[model]
    return vocoder


def _parsed(declare: Callable[[argparse.ArgumentParser], None], words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    declare(parser)
    return parser.parse_args(words)
