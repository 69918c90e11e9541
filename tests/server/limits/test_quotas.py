"""Token buckets: what they grant, what they owe, and how long they make one wait."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.limits.keys import TokenBucket


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_a_cost_beyond_the_bucket_is_granted_and_paid_off(clock):
    bucket = TokenBucket(60, clock)
    assert bucket.take(180) == 0.0
    assert bucket.take(0) == pytest.approx(120.0)
    clock.now += 120.0
    assert bucket.take(0) == 0.0
    assert bucket.take(180) == pytest.approx(60.0)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # of a machine that does other work
@given(
    per_minute=st.integers(1, 10_000),
    steps=st.lists(st.tuples(st.floats(0.0, 100.0), st.integers(0, 20_000)), max_size=30),
)
def test_never_more_than_the_rate_and_every_wait_is_enough(per_minute, steps):
    clock = Clock()
    bucket, granted, largest = TokenBucket(per_minute, clock), 0.0, 0
    for pause, cost in steps:
        clock.now += pause
        wait = bucket.take(cost)
        if wait > 0.0:
            clock.now += wait
            assert bucket.take(cost) == 0.0
        granted, largest = granted + cost, max(largest, cost)
        elapsed = clock.now - 100.0
        assert granted <= (per_minute + elapsed * per_minute / 60.0 + largest) * (1 + 1e-6) + 1e-6
