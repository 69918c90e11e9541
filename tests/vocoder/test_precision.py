from __future__ import annotations

from itertools import chain, repeat

import pytest
import torch

from vocoder import precision
from vocoder.precision import default_dtype


@pytest.fixture(autouse=True)
def unmeasured():
    """Measure anew in each test, and after them."""
    precision._measured.cache_clear()
    yield
    precision._measured.cache_clear()


@pytest.mark.parametrize(
    ("bfloat16", "chosen"), [(0.5, torch.bfloat16), (0.95, torch.float32), (1.0, torch.float32), (9.0, torch.float32)]
)
def test_bfloat16_is_chosen_where_it_is_clearly_faster(monkeypatch, bfloat16, chosen):
    times = {torch.bfloat16: bfloat16, torch.float32: 1.0}
    monkeypatch.setattr(precision, "_product_seconds", lambda dtypes: {dtype: times[dtype] for dtype in dtypes})
    assert default_dtype("cpu") == chosen


def test_it_is_measured_once(monkeypatch):
    calls = []
    monkeypatch.setattr(
        precision, "_product_seconds", lambda dtypes: calls.append(dtypes) or dict.fromkeys(dtypes, 1.0)
    )
    assert {default_dtype(device) for device in ("cpu", "cpu", torch.device("cpu"))} == {torch.float32}
    assert len(calls) == 1


def test_the_shortest_of_the_times_counts(monkeypatch):
    # a clock on which the products of each dtype take 9, 2 and then always 5 seconds, or 9, 3 and 5
    durations = chain([9, 9, 2, 3], repeat(5))
    ticks = chain.from_iterable((0.0, float(duration)) for duration in durations)
    monkeypatch.setattr(precision.time, "perf_counter", lambda: next(ticks))
    assert precision._product_seconds((torch.bfloat16, torch.float32)) == {torch.bfloat16: 2.0, torch.float32: 3.0}


def test_a_device_of_another_kind_gets_float32():
    assert default_dtype("meta") == torch.float32
