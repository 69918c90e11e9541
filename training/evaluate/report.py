"""The report of an evaluation: a table of mean scores, JSON for programs, and Markdown for people."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template, select_autoescape

from training.evaluate.evaluation import Row
from training.evaluate.metric import Column, Metric
from vocoder.timing import markdown_table

SPEED = Column("times_real_time", "x real time", 1, "seconds of audio per second of computing, one utterance at a time")


@dataclass(frozen=True)
class Summary:
    """Mean scores of one candidate on one voice or corpus, `seen` if any of its speakers were in the training data.

    Means are by metric name, over the utterances for which it is defined; None if there are none. `SPEED` covers all
    timed utterances. `undefined` has the number of utterances without a value, by metric name, without zeros.
    """

    candidate: str
    voice: str
    seen: bool
    utterances: int
    seconds: float
    means: dict[str, float | None]
    undefined: dict[str, int]

    def scores(self) -> dict[str, Any]:
        """Return the scores as stored in a model's config.json."""
        rounded = {name: None if value is None else round(value, 4) for name, value in self.means.items()}
        return {"seen": self.seen, "utterances": self.utterances, "seconds": round(self.seconds, 2), **rounded}


def _summary(rows: Sequence[Row]) -> Summary:
    values = {name: [v for row in rows if (v := row.values[name]) is not None] for name in rows[0].values}
    timed = [(row.seconds, row.synthesis_seconds) for row in rows if row.synthesis_seconds]
    means = {name: sum(found) / len(found) if found else None for name, found in values.items()}
    pace = sum(audio for audio, _ in timed) / sum(took for _, took in timed) if timed else None
    undefined = {name: len(rows) - len(found) for name, found in values.items() if len(found) < len(rows)}
    seen, seconds, means = any(row.seen for row in rows), sum(row.seconds for row in rows), means | {SPEED.name: pace}
    return Summary(rows[0].candidate, rows[0].voice, seen, len(rows), seconds, means, undefined)


def cells(summaries: Sequence[Summary], columns: Sequence[Column]) -> list[list[str]]:
    """Return a header and one line per summary, as strings; a star marks means that leave out utterances."""
    lines = [["voice", "candidate", "utt.", *(column.title for column in columns)]]
    for summary in summaries:
        voice = summary.voice if summary.seen else f"{summary.voice} (unseen)"
        values = [(column, summary.means.get(column.name)) for column in columns]
        shown = [
            "-" if mean is None else f"{mean:.{column.decimals}f}{'*' * (column.name in summary.undefined)}"
            for column, mean in values
        ]
        lines.append([voice, summary.candidate, str(summary.utterances), *shown])
    return lines


def utterance_cells(rows: Sequence[Row], columns: Sequence[Column]) -> list[list[str]]:
    """Return a header and one line per row, as strings, with the recording's path."""
    lines = cells([_summary([row]) for row in rows], columns)
    paths = ["utterance", *(row.path for row in rows)]
    return [[*line[:2], path, *line[3:]] for line, path in zip(lines, paths, strict=True)]


def table(summaries: Sequence[Summary], columns: Sequence[Column]) -> str:
    """Return the table in Markdown, with columns aligned to be readable as text."""
    header, *rows = cells(summaries, columns)
    return f"{markdown_table(header, rows, text=2)}\n"


@dataclass(frozen=True)
class Report:
    """The results of an evaluation: the rows of all candidates, `models` and baselines.

    `models` maps names to the SHA-256 of the weights. `metrics` includes those that were not computed, whose packages
    are in `missing`. `left_out` are the rows without a recording of the selected length.
    """

    settings: dict[str, Any]
    rows: Sequence[Row]
    metrics: Sequence[Metric]
    missing: dict[str, str]
    models: Mapping[str, str | None]
    left_out: Sequence[str] = ()

    @property
    def columns(self) -> list[Column]:
        """The columns of tables: all metrics and the speed."""
        return [*self.metrics, SPEED]

    def summaries(self) -> list[Summary]:
        """Return a summary per voice and candidate, grouped by voice, in the order of their first rows."""
        groups: dict[str, dict[str, list[Row]]] = {}
        for row in self.rows:
            groups.setdefault(row.voice, {}).setdefault(row.candidate, []).append(row)
        return [_summary(group) for candidates in groups.values() for group in candidates.values()]

    def definitions(self) -> dict[str, str]:
        """Return the definition of each value, by its name."""
        return {column.name: column.definition for column in self.columns}

    def notes(self) -> list[str]:
        """Return notes on the table: missing packages, given mels and undefined values."""
        titles = {metric.name: metric.title for metric in self.metrics}
        notes = [
            f"{titles[name]} was not computed: install {package} (extras training, evaluation)"
            for name, package in self.missing.items()
        ]
        if self.settings.get("given_mels"):
            notes.append(
                "models and Griffin-Lim got the manifest's mels, not the recordings' own, for "
                f"{self.settings['given_mels']} utterances (--own-mels ignores the manifest's mels)"
            )
        notes += [f"{voice} is left out: no held-out utterance has the selected length" for voice in self.left_out]
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
        """Return the block for a model's config.json: its scores by voice, and the baselines'."""
        by_candidate: dict[str, dict[str, Any]] = {}
        for summary in self.summaries():
            scores = by_candidate.setdefault(summary.candidate, {})[summary.voice] = summary.scores()
            if summary.candidate not in self.models:
                del scores["seen"]  # it was trained on nothing
        return {
            "weights_sha256": self.models[model],
            "settings": self.settings,
            "voices": by_candidate[model],
            "baselines": {name: voices for name, voices in by_candidate.items() if name not in self.models},
            "definitions": self.definitions(),
        }


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write evaluation.json, report.md and quality.json (a block per model), and return their paths."""
    everything = {
        "settings": report.settings,
        "missing": report.missing,
        "notes": report.notes(),
        "definitions": report.definitions(),
        "summaries": list(map(asdict, report.summaries())),
        "utterances": list(map(asdict, report.rows)),
    }
    encoded = partial(json.dumps, indent=2, ensure_ascii=False, allow_nan=False)
    texts = {
        "evaluation.json": f"{encoded(everything)}\n",
        "quality.json": f"{encoded({model: report.quality(model) for model in report.models})}\n",
        "report.md": template("report.md").render(report=report, table=table(report.summaries(), report.columns)),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def template(name: str) -> Template:
    """Return a template; what is inserted into HTML is escaped."""
    loader, escape = PackageLoader("training"), select_autoescape()
    pages = Environment(
        loader=loader, autoescape=escape, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return pages.get_template(name)
