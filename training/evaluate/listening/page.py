"""The page with names: every candidate to hear and to see beside the recording, and the scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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

__all__ = ["listening_page"]


def listening_page(report: Report, utterances: Sequence[Utterance]) -> str:
    """Return one HTML document that needs nothing else: players, spectrograms, differences and sortable scores.

    Args:
        report: what the evaluation found.
        utterances: those to hear.
    """
    return render(
        "listening.html",
        settings={name: value for name, value in report.settings.items() if value is not None},
        summaries=cells(report.summaries(), report.metrics),
        rows=utterance_cells(report.rows, report.metrics),
        directions={metric.title: metric.better for metric in report.metrics},
        definitions=report.titled_definitions(),
        notes=report.notes(),
        utterances=[_shown(utterance) for utterance in utterances],
        difference_db=DIFFERENCE_DB,
    )


def _shown(utterance: Utterance) -> dict[str, Any]:
    original = utterance.reference.x
    clips = [
        {
            "candidate": clip.candidate,
            "audio": flac_uri(clip.x, utterance.sample_rate),
            "spectrogram": spectrogram_picture(clip.x, original),
            "difference": None if clip is utterance.reference else difference_picture(clip.x, original),
        }
        for clip in (utterance.reference, *utterance.clips)
    ]
    return {
        "voice": utterance.voice,
        "path": utterance.path,
        "seconds": utterance.seconds,
        "khz": utterance.sample_rate / 2000.0,
        "clips": clips,
    }
