"""A change counts where it is more than the utterances' own spread, and more than what is noise in any case."""

from __future__ import annotations

import pytest

from training.evaluate.evaluation import Row
from training.finetune.verdict import NOISE, changes, refusal

Values = list[float | None]


def rows(after: dict[str, Values], before: dict[str, Values]) -> list[Row]:
    return [
        Row(name, str(i), "mine", True, 1.0, {metric: column[i] for metric, column in columns.items()}, {}, None)
        for name, columns in (("before", before), ("after", after))
        for i in range(len(next(iter(columns.values()))))
    ]


def changed(before: Values, after: Values):
    return changes(rows({"pesq": after}, {"pesq": before}), "before", "after")


def test_a_change_is_the_mean_over_pairs_and_its_noise_two_standard_errors() -> None:
    (change,) = changed([3.0, 3.2, 3.4, None], [2.6, 3.1, 3.0, 1.0])
    assert (change.before, change.after) == pytest.approx((3.2, 2.9))
    assert change.difference == pytest.approx(-0.3)
    assert change.noise == pytest.approx(2 * 0.1732 / 3**0.5, rel=1e-3)
    assert change.worse
    assert str(change) == "PESQ 3.2 -> 2.9 (-0.3, noise 0.2)"


@pytest.mark.parametrize(
    "after",
    [
        [2.98, 3.17, 3.37],  # less than what is noise in any case, though all lost it
        [2.2, 3.9, 3.2],  # a larger loss, but utterances disagree
        [3.3, 3.5, 3.7],  # better
    ],
)
def test_what_may_be_chance_and_what_is_better_is_not_worse(after: Values) -> None:
    (change,) = changed([3.0, 3.2, 3.4], after)
    assert not change.worse
    assert change.better == (after[0] == 3.3)


def test_one_utterance_is_judged_by_what_is_noise_in_any_case() -> None:
    (change,) = changed([3.0], [2.8])
    assert change.noise == 2 * NOISE["pesq"]
    assert change.worse
    assert changed([None], [None]) == []


@pytest.mark.parametrize(
    ("predicted", "pesq", "stoi", "distillmos", "reason"),
    [
        (False, 0.3, -0.003, None, None),  # one loss within noise, outweighed
        (False, 0.02, None, 0.05, None),
        (False, 0.3, -0.01, None, "lost more than noise in STOI"),
        (False, None, -0.003, None, "did not rise"),  # less than noise, and lower all the same
        (False, 0.01, None, -0.09, "did not rise"),
        (False, 0.0, 0.0, 0.0, "did not rise"),
        (True, -0.3, None, 0.6, None),  # detail that was made up sounds natural, and is not the recording's
        (False, -0.3, None, 0.6, "lost more than noise in PESQ"),  # the mel had told it
        (True, -0.3, None, 0.0, "lost more than noise in PESQ"),  # it sounds no better
        (True, -0.7, None, 0.6, "lost more than noise in PESQ"),
    ],
)
def test_weights_that_scored_lower_are_refused_unless_predicted_speech_got_more_natural(
    predicted: bool, pesq: float | None, stoi: float | None, distillmos: float | None, reason: str | None
) -> None:
    moved = {"pesq": pesq, "stoi": stoi, "distillmos": distillmos}
    before: dict[str, Values] = {metric: [2.0, 2.2, 2.4] for metric, by in moved.items() if by is not None}
    after: dict[str, Values] = {m: [v + (moved[m] or 0.0) for v in column if v] for m, column in before.items()}
    found = refusal(rows(after, before), "before", "after", predicted)
    assert found is None if reason is None else reason in str(found)


@pytest.mark.parametrize("after", [[3.5, None], [None, None]])
def test_audio_without_any_score_is_refused(after: Values) -> None:
    found = rows({"pesq": after}, {"pesq": [3.0, 3.2]})
    assert "cannot be scored" in str(refusal(found, "before", "after", predicted=False))
