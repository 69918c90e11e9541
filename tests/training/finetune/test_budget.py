"""The budget follows from the speech, the machine and the wish, and has bounds."""

from __future__ import annotations

import math

import pytest

from training.finetune.budget import FEWEST_STEPS, MOST_PASSES, default_minutes, held_out, of_steps, plan, slow


def test_a_tenth_is_held_out_within_bounds() -> None:
    assert [held_out(count) for count in (6, 30, 60, 120, 5000)] == [3, 3, 6, 12, 12]


def test_more_speech_is_trained_on_for_longer() -> None:
    assert default_minutes(0.5) == 10
    assert default_minutes(5) == pytest.approx(10 * math.sqrt(5))
    assert default_minutes(600) == 60


def test_steps_fill_the_minutes_and_are_validated_on_the_way() -> None:
    budget = plan(10, seconds_of_speech=300, seconds_per_step=1.5, seconds_in_a_batch=6)
    assert budget.steps * 1.5 < 600 < budget.steps * 1.5 * 1.1
    assert 4 * budget.validation_steps < budget.steps <= 5 * budget.validation_steps
    assert budget.limit == 16


def test_a_fast_machine_stops_before_it_knows_the_recordings_by_heart_unless_told_to() -> None:
    fast = plan(None, seconds_of_speech=60, seconds_per_step=0.01, seconds_in_a_batch=6)
    assert fast.steps == MOST_PASSES * 10
    assert fast.minutes == pytest.approx(fast.steps * 0.01 / 60)
    assert plan(10, 60, 0.01, 6).steps > 50000


def test_steps_that_are_asked_for_are_taken_however_long_they_last() -> None:
    budget = of_steps(50, seconds_per_step=120)
    assert (budget.steps, budget.minutes, budget.limit, budget.validation_steps) == (50, 100, None, 10)


def test_a_slow_machine_trains_a_little_all_the_same() -> None:
    slow = plan(0.01, 60, 100.0, 6)
    assert slow.steps == FEWEST_STEPS
    assert slow.minutes == pytest.approx(FEWEST_STEPS * 100 / 60)  # what it takes, not what was wished
    assert slow.limit > slow.minutes  # which would otherwise end it before its steps


def test_only_a_far_slower_machine_is_warned_of_and_told_what_to_do() -> None:
    assert slow(1.0) is None
    assert "10 times as long" in str(slow(4.0))
    assert "600 steps are the fewest that gained, and take --minutes 44" in str(slow(4.0))
