"""Who says what in speech for an acoustic model: the evaluation voice, or the training voices and mixtures of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recipes.corpora.kokoro import KEPT_OUT, Utterance
from training.corpora.corpus import CorpusError

__all__ = ["PLANS", "Plan", "planned"]

_STYLES = ("jf_gongitsune", "jf_nezumi", "jf_tebukuro", "jm_kumo")
# The man weighs more than the three women together, since low voices are rare in the other corpora.
_CONCENTRATION = (0.4, 0.4, 0.4, 1.4)
_MIXTURES = 64
_MAN = "jm_kumo"
_MAN_ALONE = 6
"""turns of his unmixed voice for one of each woman's"""
_SEED = 71
# The last sentences of each language belong to the corpus `kokoro-unseen`.
_TAKEN = 40


@dataclass(frozen=True)
class Plan:
    """A set of voices and how they read.

    Attributes:
        corpus: its name in manifests.
        speeds: range of speeds, 1 being the voice's own.
        from_the_end: whether sentences are taken from the end of their order, so that the voice reads other ones.
        evaluation: whether the speech must never be trained on by a vocoder.
    """

    corpus: str
    speeds: tuple[float, float]
    from_the_end: bool
    evaluation: bool

    def __post_init__(self) -> None:
        if not 0.5 <= self.speeds[0] <= self.speeds[1] <= 2:
            raise CorpusError(f"speeds must be a range within 0.5 to 2, not {self.speeds}")

    def voices(self) -> list[tuple[str, tuple[tuple[str, float], ...]]]:
        """Return speakers with the weights of their styles, in the order of their turns; some have several."""
        if self.evaluation:
            return [(f"kokoro-{KEPT_OUT}", ((KEPT_OUT, 1.0),))]
        pure = [(f"kokoro-{style}", ((style, 1.0),)) for style in _STYLES]
        drawn = np.random.default_rng(_SEED).dirichlet(_CONCENTRATION, _MIXTURES).round(3)
        mixed = [
            (f"kokoro-blend-{number:02d}", tuple(zip(_STYLES, map(float, weights), strict=True)))
            for number, weights in enumerate(drawn, start=1)
        ]
        return _spread(mixed, [*pure, *[voice for voice in pure if voice[0].endswith(_MAN)] * (_MAN_ALONE - 1)])


PLANS = {
    "evaluation": Plan("acoustic-evaluation", (0.9, 1.1), from_the_end=True, evaluation=True),
    "mixtures": Plan("acoustic-mixtures", (0.8, 1.25), from_the_end=False, evaluation=False),
}
"""by name, what can be synthesized"""


def planned(plan: Plan, minutes: float, texts: dict[str, tuple[str, ...]]) -> tuple[Utterance, ...]:
    """Choose text, voice and speed of every utterance; a longer plan begins with the shorter one.

    Args:
        plan: whose voices.
        minutes: about how much speech.
        texts: sentences by language.

    Raises:
        CorpusError: the length is not positive, or the sentences do not suffice for it.
    """
    if not minutes > 0:
        raise CorpusError(f"minutes must be positive, not {minutes:g}")
    voices, languages = plan.voices(), sorted(texts)
    waiting = {language: _order(texts[language], plan.from_the_end) for language in languages}
    found: list[Utterance] = []
    seconds = 0.0
    while seconds < 60 * minutes:
        index = len(found)
        random = np.random.default_rng([_SEED, plan.evaluation, index])
        language = str(random.choice(languages))
        text = next(waiting[language], None)
        if text is None:
            raise CorpusError(f"the sentences ({language}) suffice for {seconds / 60:.0f} minutes, not {minutes:g}")
        speaker, weights = voices[index % len(voices)]
        speed = round(float(random.uniform(*plan.speeds)), 3)
        found.append(Utterance(index, speaker, weights, language, text, speed))
        seconds += found[-1].seconds
    return tuple(found)


def _order(texts: tuple[str, ...], from_the_end: bool) -> Iterator[str]:
    order = np.random.default_rng(20).permutation(len(texts))[:-_TAKEN]  # the order of the corpus `kokoro`
    return (texts[place] for place in (order[::-1] if from_the_end else order))


def _spread(
    many: list[tuple[str, tuple[tuple[str, float], ...]]], few: list[tuple[str, tuple[tuple[str, float], ...]]]
) -> list[tuple[str, tuple[tuple[str, float], ...]]]:
    """Return both lists in one, the second evenly among the first."""
    places = [(k + 0.5) / len(many) for k in range(len(many))] + [(k + 0.5) / len(few) for k in range(len(few))]
    order = sorted(range(len(places)), key=lambda k: places[k])
    return [[*many, *few][k] for k in order]
