"""The outcome of a fine-tuning: the better of two models, or the start if neither scored higher."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.commands.publish import publish
from training.corpora.manifest import Manifest
from training.evaluate.comparison import Comparison, compare
from training.evaluate.recordings import Selection
from training.finetune.kinds import Start
from training.finetune.recordings import predicted
from training.finetune.verdict import Change, better, changes, refusal, worse
from training.loop.checkpointing import Checkpoints
from training.loop.run_state import run_progress
from vocoder.loading import load

__all__ = ["AFTER", "BEFORE", "BEST", "Outcome", "compared", "publish_best"]

BEFORE, AFTER, BEST = "before", "after", "best in validation"
"""names of the models in the report"""


@dataclass(frozen=True)
class Outcome:
    """The model to publish, and why.

    Attributes:
        model: its directory.
        label: `BEFORE` where the starting weights are kept, else `AFTER` or `BEST`.
        changes: from before to after.
        sentence: what to say about it.
        quality: its scores, for its configuration and card.
    """

    model: Path
    label: str
    changes: tuple[Change, ...]
    sentence: str
    quality: Mapping[str, Any]


def compared(start: Start, training: Path, manifest: Manifest, folder: Path, seed: int, jobs: int) -> Outcome:
    """Evaluate the starting model, the models of a run and Griffin-Lim, and choose what to publish.

    The last weights come first, since critics sharpen what the spectral distance of validation favours blurred. The
    best in validation come second.
    """
    models = _candidates(Checkpoints(training))
    vocoders = {BEFORE: load(start.reference, guard="off")}
    vocoders |= {label: load(model, guard="off") for label, model in models.items()}
    options = Comparison(Selection(0.5, 20.0, by="corpus"), griffin_lim=True, seed=seed, jobs=jobs)
    report = compare(vocoders, manifest.root / "manifest.jsonl", folder, options)
    reasons = []
    for label, model in models.items():
        why = refusal(report.rows, BEFORE, label, predicted(manifest))
        if why is None:
            found = changes(report.rows, BEFORE, label)
            return Outcome(model, label, tuple(found), _gained(model, label, found), report.quality(label))
        reasons.append(why)
    sentence = f"The starting weights of {start.reference} are published as they were: {reasons[0]}."
    found = changes(report.rows, BEFORE, AFTER)
    return Outcome(start.directory, BEFORE, tuple(found), sentence, report.quality(BEFORE))


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
    publish(outcome.model, output, outcome.quality, _notes(outcome))


def _candidates(checkpoints: Checkpoints) -> dict[str, Path]:
    """Return the models that may be published in order of preference: the last, then the best in validation."""
    last, best = run_progress(checkpoints.last).step, run_progress(checkpoints.best).step
    earlier = {BEST: checkpoints.best / "model"} if 0 < best < last else {}
    return {AFTER: checkpoints.last / "model"} | earlier


def _gained(model: Path, label: str, found: Sequence[Change]) -> str:
    which = "the last" if label == AFTER else "the best in validation"
    gained = ", ".join(change.title for change in better(found)) or "nothing"
    lost = ", ".join(change.title for change in worse(found)) or "nothing"
    step = run_progress(model.parent).step
    return f"The weights of step {step}, {which}, are published: {gained} got better by more than noise, {lost} worse."


def _notes(outcome: Outcome) -> str:
    lines = ["## Fine-tuning", outcome.sentence, "On held-out recordings of the voice, before and after:"]
    return "\n\n".join([*lines, "\n".join(f"- {change}" for change in outcome.changes)]) + "\n"
