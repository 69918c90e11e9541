"""Chooses the outcome of a fine-tuning: the better of two models, or the starting model if neither scored higher."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.corpora.manifest import Manifest
from training.evaluate.comparison import compare
from training.evaluate.options import Comparison
from training.finetune.recipe import Start
from training.finetune.recordings import predicted
from training.finetune.verdict import ALLOWED, NOISE, NOISE_ABOVE_MEL, Change, changes, gain, refusal
from training.loop.checkpointing import Checkpoints
from training.publishing import publish, write_mean
from vocoder.loading import load

BEFORE, AFTER, HALFWAY = "before", "after", "mean of both"  # names of the models in the report


@dataclass(frozen=True)
class Trained:
    """Weights: their name in the report, directory, changes in scores, and why not to publish them, if so."""

    label: str
    model: Path
    changes: Sequence[Change]
    refusal: str | None


@dataclass(frozen=True)
class Outcome:
    """The trained weights, the better ones first, and the published ones: those or the starting model's."""

    start: Start
    trained: Sequence[Trained]
    published: Trained
    quality: Mapping[str, Any]

    @property
    def sentence(self) -> str:
        """A sentence on what is published and why."""
        if self.published.label == BEFORE:
            reasons = "; ".join(f"with {_named(trained)}, {trained.refusal}" for trained in self.trained)
            return f"The starting weights of {self.start.reference} are published as they were: {reasons}."
        gained = ", ".join(change.title for change in self.published.changes if change.better)
        lost = ", ".join(change.title for change in self.published.changes if change.worse) or "nothing"
        named = _named(self.published).capitalize()
        return f"{named} are published: {gained} got better by more than noise, {lost} worse."

    @property
    def changes(self) -> list[str]:
        """Lines on how each of the trained weights changed the scores."""
        return [f"{trained.label}: {change}" for trained in self.trained for change in trained.changes]


def compared(
    start: Start, training: Path, manifest: Manifest, folder: Path, seed: int, jobs: int, only_above_mel: bool = False
) -> Outcome:
    """Evaluate the starting model, a run's last, their mean, and Griffin-Lim, and choose what to publish.

    The mean of the weights keeps the start's abilities and most of the gain; the better of last and mean is chosen.
    What is above the mel has no abilities to keep, so there is no mean of it.
    """
    models = {AFTER: Checkpoints(training).last / "model"}
    if not only_above_mel:
        models[HALFWAY] = training / "halfway" / "model"
        write_mean([start.directory, models[AFTER]], models[HALFWAY])
    vocoders = {BEFORE: load(start.reference, guard="off")}
    vocoders |= {label: load(model, guard="off") for label, model in models.items()}
    options = Comparison(0.5, 20.0, by="corpus", griffin_lim=True, seed=seed, jobs=jobs)
    report = compare(vocoders, manifest.root / "manifest.jsonl", folder, options)
    smooth, judges, trained = predicted(manifest), NOISE_ABOVE_MEL if only_above_mel else NOISE, []
    for label, model in models.items():
        found = changes(report.rows, BEFORE, label, judges)
        why = refusal(report.rows, BEFORE, label, smooth, judges)
        trained.append(Trained(label, model, found, why))
    apart = ALLOWED if smooth else ()
    trained.sort(key=lambda weights: (weights.refusal is None, gain(weights.changes, apart)), reverse=True)
    published = trained[0] if trained[0].refusal is None else Trained(BEFORE, start.directory, (), None)
    return Outcome(start, trained, published, report.quality(published.label))


def publish_best(outcome: Outcome, output: Path, folder: Path) -> None:
    """Write an outcome's model directory, with a card that explains it, and `outcome.json` for programs."""
    record = {
        "published": outcome.published.label,
        "sentence": outcome.sentence,
        "trained": [asdict(weights) | {"model": str(weights.model)} for weights in outcome.trained],
    }
    (folder / "outcome.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    lines = ["## Fine-tuning", outcome.sentence, "On held-out recordings of the voice, before and after:"]
    lines.append("\n".join(f"- {change}" for change in outcome.changes))
    publish([outcome.published.model], output, outcome.quality, "\n\n".join(lines) + "\n")


def _named(weights: Trained) -> str:
    return "the last weights" if weights.label == AFTER else "the mean of the last weights and those of the start"
