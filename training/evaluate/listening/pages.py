"""The files that an evaluation leaves for listeners."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from training.evaluate.listening.blind import blind_test
from training.evaluate.listening.page import listening_page
from training.evaluate.listening.utterance import Utterance
from training.evaluate.report import Report

__all__ = ["write_pages"]


def write_pages(report: Report, utterances: Sequence[Utterance], folder: Path, seed: int = 0) -> list[Path]:
    """Write listening.html, blind.html and blind-key.json, and return their paths.

    Without utterances there is only listening.html, with the scores; without candidates beside the recording, no test.

    Args:
        report: what the evaluation found.
        utterances: those to hear.
        folder: where to.
        seed: of the order in the blind test.
    """
    texts = {"listening.html": listening_page(report, utterances)}
    if any(utterance.clips for utterance in utterances):
        test = blind_test(utterances, seed)
        texts["blind.html"] = test.page
        texts["blind-key.json"] = json.dumps(test.key, indent=1, ensure_ascii=False) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]
