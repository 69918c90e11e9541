"""A change counts where it is more than the utterances' own spread, and more than what is noise in any case."""

from __future__ import annotations

import pytest

from training.evaluate.evaluation import Row
from training.finetune.verdict import NOISE, better, changes, refusal, worse

Values = list[float | None]


def rows(after: dict[str, Values], before: dict[str, Values]) -> list[Row]:
    return [
        Row(name, str(i), "mine", True, 1.0, {metric: column[i] for metric, column in columns.items()}, {}, None)
        for name, columns in (("before", before), ("after", after))
        for i in range(len(next(iter(columns.values()))))
    ]


def changed(before: Values, after: Values):
    return changes(rows({"pesq": after}, {"pesq": before}), "before", "after")


def verdict(predicted: bool = False, **differences: float) -> str | None:
    """Return the refusal of a model whose metrics changed by so much on every utterance."""
    before: dict[str, Values] = {metric: [2.0, 2.2, 2.4] for metric in differences}
    after: dict[str, Values] = {m: [v + differences[m] for v in column if v] for m, column in before.items()}
    return refusal(rows(after, before), "before", "after", predicted)


def test_a_change_is_the_mean_over_pairs_and_its_noise_two_standard_errors() -> None:
    (change,) = changed([3.0, 3.2, 3.4, None], [2.6, 3.1, 3.0, 1.0])
    assert (change.before, change.after) == pytest.approx((3.2, 2.9))
    assert change.difference == pytest.approx(-0.3)
    assert change.noise == pytest.approx(2 * 0.1732 / 3**0.5, rel=1e-3)
    assert worse([change]) == [change]
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
    found = changed([3.0, 3.2, 3.4], after)
    assert worse(found) == []
    assert better(found) == (found if after[0] == 3.3 else [])


def test_one_utterance_is_judged_by_what_is_noise_in_any_case() -> None:
    (change,) = changed([3.0], [2.8])
    assert change.noise == 2 * NOISE["pesq"]
    assert worse([change]) == [change]
    assert changed([None], [None]) == []


@pytest.mark.parametrize(
    ("differences", "reason"),
    [
        ({"pesq": 0.3, "stoi": -0.003}, None),  # one loss within noise, outweighed
        ({"pesq": 0.02, "distillmos": 0.05}, None),
        ({"pesq": 0.3, "stoi": -0.01}, "lost more than noise in STOI"),
        ({"stoi": -0.003}, "did not rise"),  # less than noise, and lower all the same
        ({"pesq": 0.01, "distillmos": -0.09}, "did not rise"),
        ({"pesq": 0.0, "stoi": 0.0, "distillmos": 0.0}, "did not rise"),
    ],
)
def test_weights_that_scored_lower_are_refused(differences: dict[str, float], reason: str | None) -> None:
    found = verdict(**differences)
    assert found is None if reason is None else reason in str(found)


@pytest.mark.parametrize(
    ("pesq", "distillmos", "predicted", "reason"),
    [
        (-0.3, 0.6, True, None),  # detail that was made up sounds natural, and is not the recording's
        (-0.3, 0.6, False, "PESQ"),  # the mel had told it
        (-0.3, 0.0, True, "PESQ"),  # it sounds no better
        (-0.3, -0.5, True, "PESQ"),
        (-0.7, 0.6, True, "PESQ"),
    ],
)
def test_pesq_may_fall_where_mels_are_predicted_and_speech_got_more_natural(
    pesq: float, distillmos: float, predicted: bool, reason: str | None
) -> None:
    found = verdict(predicted, pesq=pesq, distillmos=distillmos)
    assert found is None if reason is None else f"lost more than noise in {reason}" in str(found)


@pytest.mark.parametrize("after", [[3.5, None], [None, None]])
def test_audio_without_any_score_is_refused(after: Values) -> None:
    found = rows({"pesq": after}, {"pesq": [3.0, 3.2]})
    assert "cannot be scored" in str(refusal(found, "before", "after", predicted=False))
