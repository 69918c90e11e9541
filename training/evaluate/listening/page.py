"""What an evaluation leaves for listeners: the page with names and scores, and the blind test."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.evaluate.listening.blind import blind_test
from training.evaluate.listening.rendering import render
from training.evaluate.listening.utterance import (
    DIFFERENCE_DB,
    Utterance,
    difference_picture,
    flac_uri,
    spectrogram_picture,
)
from training.evaluate.report import Report
from training.evaluate.summary import cells, utterance_cells


def listening_page(report: Report, utterances: Sequence[Utterance]) -> str:
    """Return one HTML document that needs nothing else: players, spectrograms, differences and sortable scores."""
    return render(
        "listening.html",
        settings={name: value for name, value in report.settings.items() if value is not None},
        summaries=cells(report.summaries(), report.metrics),
        rows=utterance_cells(report.rows, report.metrics),
        directions={metric.title: metric.better for metric in report.metrics},
        definitions=report.definitions(titles=True),
        notes=report.notes(),
        utterances=[(utterance, _shown(utterance)) for utterance in utterances],
        difference_db=DIFFERENCE_DB,
    )


def write_pages(report: Report, utterances: Sequence[Utterance], folder: Path, seed: int = 0) -> list[Path]:
    """Write listening.html, blind.html and blind-key.json, and return their paths.

    Without utterances there is only listening.html, with the scores.
    """
    texts = {"listening.html": listening_page(report, utterances)}
    if utterances:
        test = blind_test(utterances, seed)
        texts["blind.html"] = test.page
        texts["blind-key.json"] = json.dumps(test.key, indent=1, ensure_ascii=False) + "\n"
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def _shown(utterance: Utterance) -> list[dict[str, Any]]:
    """Return the clips as the page has them, the recording first."""
    original = utterance.reference.x
    return [
        {
            "candidate": clip.candidate,
            "audio": flac_uri(clip.x, utterance.sample_rate),
            "spectrogram": spectrogram_picture(clip.x, original),
            "difference": None if clip is utterance.reference else difference_picture(clip.x, original),
        }
        for clip in (utterance.reference, *utterance.clips)
    ]
