"""Who says what: kept-out voice and training voices never meet, nor do their sentences."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from recipes.acoustic.plan import PLANS, Plan, planned
from recipes.corpora.kokoro import KEPT_OUT
from training.corpora.corpus import CorpusError

TEXTS = {
    language: tuple(f"{language} sentence {number} of those to read." for number in range(400)) for language in "ab"
}


def test_the_two_plans_share_neither_voices_nor_sentences() -> None:
    learnt, judged = (planned(PLANS[name], 10, TEXTS) for name in ("mixtures", "evaluation"))
    assert {name for u in judged for name, _ in u.weights} == {KEPT_OUT}
    assert KEPT_OUT not in {name for u in learnt for name, _ in u.weights}
    assert not {u.text for u in learnt} & {u.text for u in judged}


def test_low_voices_are_no_rarity() -> None:
    voices = PLANS["mixtures"].voices()
    assert len({name for name, _ in voices}) == 4 + 64
    weight = np.mean([dict(weights).get("jm_kumo", 0.0) for _, weights in voices])
    assert 0.5 < weight < 0.7
    assert all(sum(dict(weights).values()) == pytest.approx(1.0, abs=2e-3) for _, weights in voices)


def test_every_voice_speaks_in_turn_at_every_speed() -> None:
    found = planned(PLANS["mixtures"], 15, TEXTS)
    counts = Counter(u.speaker for u in found[: len(PLANS["mixtures"].voices())])
    assert counts.pop("kokoro-jm_kumo") == 6
    assert set(counts.values()) == {1}
    speeds = [u.speed for u in found]
    assert 0.8 <= min(speeds) < 0.85 < 1.2 < max(speeds) <= 1.25


def test_a_longer_plan_begins_with_the_shorter_one() -> None:
    short, long = (planned(PLANS["mixtures"], minutes, TEXTS) for minutes in (2, 5))
    assert long[: len(short)] == short
    assert 60 * 2 <= sum(u.seconds for u in short) < 60 * 2 + 10


def test_wrong_plans_say_what_is_wrong() -> None:
    with pytest.raises(CorpusError, match="suffice for"):
        planned(PLANS["evaluation"], 60, TEXTS)
    with pytest.raises(CorpusError, match="minutes must be positive"):
        planned(PLANS["evaluation"], 0, TEXTS)
    with pytest.raises(CorpusError, match="speeds must be a range"):
        Plan("x", (1.2, 0.8), from_the_end=False, evaluation=False)
