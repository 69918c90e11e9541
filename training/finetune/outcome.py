"""The outcome of a fine-tuning: the better of two models, or the start if neither scored higher."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.commands.publishing import publish
from training.corpora.manifest import Manifest
from training.evaluate.comparison import compare
from training.evaluate.options import Comparison, Selection
from training.finetune.recipe import Start
from training.finetune.recordings import predicted
from training.finetune.verdict import Change, changes, refusal
from training.loop.checkpointing import Checkpoints, run_progress
from vocoder.loading import load

BEFORE, AFTER, BEST = "before", "after", "best in validation"
"""names of the models in the report"""


@dataclass(frozen=True)
class Outcome:
    """The directory to publish with its scores, which weights these are, and the changes and the sentence of why."""

    model: Path
    label: str
    changes: Sequence[Change]
    sentence: str
    quality: Mapping[str, Any]


def compared(start: Start, training: Path, manifest: Manifest, folder: Path, seed: int, jobs: int) -> Outcome:
    """Evaluate the starting model, the models of a run and Griffin-Lim, and choose what to publish.

    The last weights come first, since critics sharpen what the spectral distance of validation favours blurred. The
    best in validation come second.
    """
    checkpoints = Checkpoints(training)
    last, best = run_progress(checkpoints.last).step, run_progress(checkpoints.best).step
    models = {AFTER: checkpoints.last / "model"} | ({BEST: checkpoints.best / "model"} if 0 < best < last else {})
    vocoders = {BEFORE: load(start.reference, guard="off")}
    vocoders |= {label: load(model, guard="off") for label, model in models.items()}
    options = Comparison(Selection(0.5, 20.0, by="corpus"), griffin_lim=True, seed=seed, jobs=jobs)
    report = compare(vocoders, manifest.root / "manifest.jsonl", folder, options)
    reasons = []
    for label, model in models.items():
        why = refusal(report.rows, BEFORE, label, predicted(manifest))
        if why is None:
            found = changes(report.rows, BEFORE, label)
            sentence = _gained(label, last if label == AFTER else best, found)
            return Outcome(model, label, found, sentence, report.quality(label))
        reasons.append(why if label == AFTER else f"nor may the {label} take their place: {why}")
    sentence = f"The starting weights of {start.reference} are published as they were: {'; '.join(reasons)}."
    return Outcome(start.directory, BEFORE, changes(report.rows, BEFORE, AFTER), sentence, report.quality(BEFORE))


def publish_best(outcome: Outcome, output: Path, folder: Path) -> None:
    """Write the model directory of an outcome, with scores, licences and a card that explains it.

    `outcome.json` in the folder of the run says the same to programs.
    """
    told = {
        "kept": outcome.label == BEFORE,
        "sentence": outcome.sentence,
        "changes": list(map(asdict, outcome.changes)),
    }
    (folder / "outcome.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    lines = ["## Fine-tuning", outcome.sentence, "On held-out recordings of the voice, before and after:"]
    lines.append("\n".join(f"- {change}" for change in outcome.changes))
    publish(outcome.model, output, outcome.quality, "\n\n".join(lines) + "\n")


def _gained(label: str, step: int, found: Sequence[Change]) -> str:
    which = "the last" if label == AFTER else "the best in validation"
    gained = ", ".join(change.title for change in found if change.better)
    lost = ", ".join(change.title for change in found if change.worse) or "nothing"
    told = f"{gained} got better by more than noise, {lost} worse"
    return f"The weights of step {step}, {which}, are published: {told}."
