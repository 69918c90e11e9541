"""The page to listen to an evaluation: players, spectrograms, differences and scores, with names."""

from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from training.evaluate.listening.utterance import (
    DIFFERENCE_DB,
    Utterance,
    difference_picture,
    flac_uri,
    spectrogram_picture,
)
from training.evaluate.report import Report, cells, utterance_cells


def listening_page(report: Report, utterances: Sequence[Utterance]) -> str:
    """Return one HTML document that needs nothing else, with sortable scores; whatever is put into it is escaped."""
    loader = PackageLoader("training.evaluate.listening")
    page = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return page.get_template("listening.html").render(
        settings={name: value for name, value in report.settings.items() if value is not None},
        summaries=cells(report.summaries(), report.metrics),
        rows=utterance_cells(report.rows, report.metrics),
        directions={metric.title: metric.better for metric in report.metrics},
        definitions=report.definitions(titles=True),
        notes=report.notes(),
        utterances=[(utterance, _shown(utterance)) for utterance in utterances],
        difference_db=DIFFERENCE_DB,
    )


def _shown(utterance: Utterance) -> list[dict[str, Any]]:
    """Return the clips as the page has them, the recording first."""
    original = utterance.recording
    return [
        {
            "candidate": candidate,
            "audio": flac_uri(x, utterance.sample_rate),
            "spectrogram": spectrogram_picture(x, original),
            "difference": None if x is original else difference_picture(x, original),
        }
        for candidate, x in utterance.clips.items()
    ]
