"""The report of an evaluation: JSON for programs, Markdown for people, a block of quality for each model."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.evaluate.evaluation import Row
from training.evaluate.metric import Metric
from training.evaluate.summary import Summary, summarise, table

SPEED = ("times_real_time", "x real time", "seconds of audio for a second of computing, one utterance at a time")
"""name, title and definition"""


@dataclass(frozen=True)
class Report:
    """Everything that an evaluation found.

    Attributes:
        settings: what determines it, ready for JSON.
        rows: of all candidates.
        metrics: all columns, those that could not be computed included.
        missing: by name of the metric, the package that it lacks.
        models: names of the candidates that are models; the others are baselines.
        left_out: rows without a recording of the right length.
    """

    settings: dict[str, Any]
    rows: Sequence[Row]
    metrics: Sequence[Metric]
    missing: dict[str, str]
    models: Sequence[str]
    left_out: Sequence[str] = ()

    def summaries(self) -> list[Summary]:
        """Return the rows summed up by voice and candidate."""
        return summarise(self.rows)

    def definitions(self, titles: bool = False) -> dict[str, str]:
        """Return what each value means, by its name or by the heading of its column."""
        columns = [*((m.name, m.title, m.definition) for m in self.metrics), SPEED]
        return {title if titles else name: text for name, title, text in columns}

    def notes(self) -> list[str]:
        """Return notes on the table: metrics without their package, given mels, undefined values."""
        titles = {metric.name: metric.title for metric in self.metrics}
        notes = [f"{titles[name]} was not computed: install {package}" for name, package in self.missing.items()]
        if self.settings.get("given_mels"):
            notes.append(
                "models and Griffin-Lim got the mels that the manifest names, not the recordings' own: "
                f"{self.settings['given_mels']} utterances (--own-mels leaves them alone)"
            )
        notes += [f"{voice} is left out: no held-out utterance is of the chosen length" for voice in self.left_out]
        undefined: dict[tuple[str, str, str], list[str]] = {}
        for row in self.rows:
            for name, why in row.problems.items():
                undefined.setdefault((titles[name], row.candidate, why), []).append(row.path)
        alike: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
        for (title, candidate, why), paths in undefined.items():
            alike.setdefault((title, why, tuple(paths)), []).append(candidate)
        for (title, why, (first, *others)), candidates in alike.items():
            more = f" and {len(others)} more" if others else ""
            notes.append(f"* {title} is undefined for {', '.join(candidates)} on {first}{more}: {why}")
        return notes

    def quality(self, model: str) -> dict[str, Any]:
        """Return the block that goes into a model's config.json: its scores by voice, and the baselines'."""
        by_candidate: dict[str, dict[str, Any]] = {}
        for summary in self.summaries():
            by_candidate.setdefault(summary.candidate, {})[summary.voice] = summary.scores()
        return {
            "settings": self.settings,
            "voices": by_candidate[model],
            "baselines": {name: voices for name, voices in by_candidate.items() if name not in self.models},
            "definitions": self.definitions(),
        }


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write evaluation.json, report.md and quality.json (a block for each model) and return their paths."""
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
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def _markdown(report: Report) -> str:
    settings = ", ".join(f"{name} {value}" for name, value in report.settings.items() if value is not None)
    parts = [
        "# Evaluation",
        f"Means over the held-out utterances of each {report.settings.get('by', 'speaker')} ({settings}).",
        table(report.summaries(), report.metrics).rstrip(),
        "\n".join(f"- {note}" for note in report.notes()),
        "## What the columns mean",
        "\n".join(f"- **{title}**: {text}" for title, text in report.definitions(titles=True).items()),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _json(data: Any) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
