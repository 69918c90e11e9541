"""Which precision and which product are chosen, by what was measured."""

from __future__ import annotations

from itertools import chain, repeat

import pytest
import torch

from vocoder.layers.stack import precision
from vocoder.layers.stack.precision import default_dtype, packing_gain

BFLOAT16 = precision._Way(torch.bfloat16, False)
FLOAT32 = precision._Way(torch.float32, False)


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
    monkeypatch.setattr(precision, "_shortest", lambda tasks: {BFLOAT16: bfloat16, FLOAT32: 1.0})
    assert default_dtype("cpu") == chosen


def test_the_faster_product_of_each_precision_counts(monkeypatch):
    packed = precision._Way(torch.float32, True)
    monkeypatch.setattr(precision, "_shortest", lambda tasks: {BFLOAT16: 0.5, FLOAT32: 1.0, packed: 0.4})
    assert default_dtype("cpu") == torch.float32
    assert packing_gain(torch.float32) == 2.5
    assert packing_gain(torch.bfloat16) == 0.0
    assert packing_gain(torch.float64) == 0.0


def test_it_is_measured_once(monkeypatch):
    calls = []
    monkeypatch.setattr(precision, "_shortest", lambda tasks: calls.append(tasks) or dict.fromkeys(tasks, 1.0))
    assert {default_dtype(device) for device in ("cpu", "cpu", torch.device("cpu"))} == {torch.float32}
    assert packing_gain(torch.float32) in (0.0, 1.0)
    assert len(calls) == 1


def test_the_shortest_of_the_times_counts(monkeypatch):
    # a clock on which the two tasks take 9, 2 and then always 5 seconds, or 9, 3 and 5
    durations = chain([9, 9, 2, 3], repeat(5))
    ticks = chain.from_iterable((0.0, float(duration)) for duration in durations)
    monkeypatch.setattr(precision.time, "perf_counter", lambda: next(ticks))
    tasks = {BFLOAT16: lambda: None, FLOAT32: lambda: None}
    assert precision._shortest(tasks) == {BFLOAT16: 2.0, FLOAT32: 3.0}


def test_what_is_timed_are_products():
    shapes = {way: tuple(task().shape) for way, task in precision._products().items()}
    assert {BFLOAT16, FLOAT32} <= set(shapes)
    assert set(shapes.values()) == {(precision.ROWS, precision.OUTPUTS)}


def test_a_device_of_another_kind_gets_float32():
    assert default_dtype("meta") == torch.float32
