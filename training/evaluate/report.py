"""The report of an evaluation: JSON for programs, Markdown for people, a block of quality for each model."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.evaluate.density import NATS_DEFINITION
from training.evaluate.evaluation import Row
from training.evaluate.metric import Metric
from training.evaluate.summary import Summary, summarise, table

__all__ = ["Report", "write_report"]

SPEED_DEFINITION = "seconds of audio for a second of computing, one utterance at a time"
DENSITY_SPEED_DEFINITION = "seconds of audio for a second of computing its density"


@dataclass(frozen=True)
class Report:
    """Everything that an evaluation found.

    Attributes:
        settings: what determines it, ready for JSON.
        rows: of all candidates.
        metrics: all columns, those that could not be computed included.
        missing: by name of the metric, the package that it lacks.
        models: names of the candidates that are models; the others are baselines.
        without_density: the models that were asked for nats and have no density.
        pictures: file names, by voice, beside the report.
        left_out: rows without a recording of the right length.
    """

    settings: dict[str, Any]
    rows: Sequence[Row]
    metrics: Sequence[Metric]
    missing: dict[str, str]
    models: Sequence[str]
    without_density: Sequence[str] = ()
    pictures: dict[str, str] = dataclasses.field(default_factory=dict)
    left_out: Sequence[str] = ()

    def summaries(self) -> list[Summary]:
        """Return the rows summed up by voice and candidate."""
        return summarise(self.rows)

    def definitions(self) -> dict[str, str]:
        """Return what each value means, by name."""
        found = {metric.name: metric.definition for metric in self.metrics}
        if any("nats" in row.values for row in self.rows):
            found |= {"nats": NATS_DEFINITION, "density_times_real_time": DENSITY_SPEED_DEFINITION}
        return {**found, "times_real_time": SPEED_DEFINITION}

    def titled_definitions(self) -> dict[str, str]:
        """Return what each value means, by the heading of its column."""
        titles = {metric.name: metric.title for metric in self.metrics} | {
            "times_real_time": "x real time",
            "density_times_real_time": "density x real time",
        }
        return {titles.get(name, name): text for name, text in self.definitions().items()}

    def notes(self) -> list[str]:
        """Return notes on the table: metrics without their package, undefined values, missing densities."""
        titles = {metric.name: metric.title for metric in self.metrics} | {"nats": "nats"}
        notes = [f"{titles[name]} was not computed: install {package}" for name, package in self.missing.items()]
        if self.settings.get("given_mels"):
            notes.append(
                f"the mels that the manifest names were spoken, not the recordings' own: {self.settings['given_mels']} "
                "utterances (--own-mels leaves them alone)"
            )
        notes += [f"{voice} is left out: no held-out utterance is of the chosen length" for voice in self.left_out]
        notes += [f"{name} has no density, so no nats per sample" for name in self.without_density]
        undefined: dict[tuple[str, str, str], list[str]] = {}
        for row in self.rows:
            for name, why in row.problems.items():
                undefined.setdefault((titles[name], row.candidate, why), []).append(row.path)
        for (title, candidate, why), paths in undefined.items():
            others = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
            notes.append(f"* {title} is undefined for {candidate} on {paths[0]}{others}: {why}")
        return notes

    def quality(self, model: str) -> dict[str, Any]:
        """Return the block that goes into a model's config.json: its scores by voice, and the baselines'."""
        by_candidate: dict[str, dict[str, Any]] = {}
        for summary in self.summaries():
            by_candidate.setdefault(summary.candidate, {})[summary.voice] = _scores(summary)
        return {
            "settings": self.settings,
            "voices": by_candidate[model],
            "baselines": {name: voices for name, voices in by_candidate.items() if name not in self.models},
            "definitions": self.definitions(),
        }


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write evaluation.json, report.md and quality.json (a block for each model) and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    everything = {
        "settings": report.settings,
        "missing": report.missing,
        "notes": report.notes(),
        "definitions": report.definitions(),
        "summaries": [dataclasses.asdict(summary) for summary in report.summaries()],
        "utterances": [dataclasses.asdict(row) for row in report.rows],
    }
    texts = {
        "evaluation.json": _json(everything),
        "quality.json": _json({model: report.quality(model) for model in report.models}),
        "report.md": _markdown(report),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def _scores(summary: Summary) -> dict[str, Any]:
    return {
        "seen": summary.seen,
        "utterances": summary.utterances,
        "seconds": round(summary.seconds, 2),
        **{name: None if value is None else round(value, 4) for name, value in summary.means.items()},
        "times_real_time": _rounded(summary.times_real_time),
        **({"density_times_real_time": _rounded(summary.density_times_real_time)} if "nats" in summary.means else {}),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _markdown(report: Report) -> str:
    settings = ", ".join(f"{name} {value}" for name, value in report.settings.items() if value is not None)
    parts = [
        "# Evaluation",
        f"Means over the held-out utterances of each {report.settings.get('by', 'speaker')} ({settings}).",
    ]
    parts.append(table(report.summaries(), report.metrics).rstrip())
    parts.append("\n".join(f"- {note}" for note in report.notes()))
    definitions = [f"- **{title}**: {text}" for title, text in report.titled_definitions().items()]
    parts.append("## What the columns mean\n\n" + "\n".join(definitions))
    if report.pictures:
        pictures = [f"![Spectrograms, {voice}]({file})" for voice, file in report.pictures.items()]
        parts.append("\n\n".join(["## Spectrograms", *pictures]))
    return "\n\n".join(part for part in parts if part) + "\n"


def _json(data: Any) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
