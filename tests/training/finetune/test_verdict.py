"""A change counts where it is more than the utterances' own spread, and more than what is noise in any case."""

from __future__ import annotations

import pytest

from training.finetune.verdict import NOISE, Change, better, changes, faults, unscored, worse


def utterances(before: list[float | None], after: list[float | None], metric: str = "pesq"):
    rows = [("before", before), ("after", after)]
    return [
        {"candidate": name, "path": str(i), "values": {metric: value}}
        for name, values in rows
        for i, value in enumerate(values)
    ]


def test_a_change_is_the_mean_over_pairs_and_its_noise_two_standard_errors() -> None:
    (change,) = changes(utterances([3.0, 3.2, 3.4, None], [2.6, 3.1, 3.0, 1.0]), "before", "after")
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
def test_what_may_be_chance_and_what_is_better_is_not_worse(after: list[float | None]) -> None:
    found = changes(utterances([3.0, 3.2, 3.4], after), "before", "after")
    assert worse(found) == []
    assert better(found) == (found if after[0] == 3.3 else [])


def test_audio_without_any_score_is_noticed() -> None:
    found = utterances([3.0, 3.2], [3.0, None])
    assert unscored(found, "after")
    assert not unscored(found, "before")


def test_one_utterance_is_judged_by_what_is_noise_in_any_case() -> None:
    (change,) = changes(utterances([3.0], [2.8]), "before", "after")
    assert change.noise == 2 * NOISE["pesq"]
    assert worse([change]) == [change]
    assert changes(utterances([None], [None]), "before", "after") == []


@pytest.mark.parametrize(
    ("pesq", "distillmos", "predicted", "at_fault"),
    [
        (1.9, 2.6, True, []),  # detail that was made up sounds natural, and is not the recording's
        (1.9, 2.6, False, ["pesq"]),  # the mel had told it
        (1.9, 2.0, True, ["pesq"]),  # it sounds no better
        (1.9, 1.5, True, ["pesq", "distillmos"]),
        (1.5, 2.6, True, ["pesq"]),
    ],
)
def test_pesq_may_fall_where_mels_are_predicted_and_speech_got_more_natural(
    pesq: float, distillmos: float, predicted: bool, at_fault: list[str]
) -> None:
    found = [Change("pesq", 2.2, pesq, 0.1), Change("distillmos", 2.0, distillmos, 0.1)]
    assert [change.metric for change in faults(found, predicted)] == at_fault
