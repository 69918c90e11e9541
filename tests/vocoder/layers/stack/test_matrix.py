"""Products with a matrix that stays the same, arranged beforehand or not."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch.nn import functional as F

from vocoder.kernels.eligible import takes
from vocoder.layers.stack import matrix, precision
from vocoder.layers.stack.matrix import Matrix

TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.5, torch.float64: 1e-10}


@pytest.fixture(params=[False, True], ids=["plain", "packed"])
def packs(request, monkeypatch):
    monkeypatch.setattr(matrix, "available", lambda dtype: request.param and precision.available(dtype))
    return request.param


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", [(1, 24), (77, 24), (3, 5, 24), (0, 24)])
def test_products_are_those_of_torch(packs, dtype, shape):
    weight, rows = torch.randn(24, 40, dtype=dtype), torch.randn(shape, dtype=dtype)
    expected = rows.double() @ weight.double()
    kept = Matrix(weight)
    assert (kept._packed is not None) == (packs and precision.available(dtype))
    for one in (kept, copy.deepcopy(kept), pickle.loads(pickle.dumps(kept))):
        torch.testing.assert_close(one.times(rows).double(), expected, atol=TOLERANCE[dtype], rtol=0)


def test_rows_may_lie_in_memory_as_columns(packs):
    weight, rows = torch.randn(24, 40), torch.randn(24, 9).t()
    torch.testing.assert_close(Matrix(weight).times(rows), rows @ weight, atol=1e-5, rtol=0)


def test_rows_that_want_a_gradient_or_are_watched_are_not_taken():
    rows = torch.randn(3, 4)
    assert takes(rows)
    graded = rows.clone().requires_grad_()
    assert not takes(graded)
    with torch.no_grad():
        assert takes(graded)
    assert torch.func.vmap(lambda row: row * float(takes(row)))(rows).abs().max() == 0
    with torch.autocast("cpu"):
        assert not takes(rows)


def test_round_numbers_of_rows_are_few_and_not_much_more():
    assert [precision.rounded(n) for n in (0, 1, 8, 86, 129, 861, 1025)] == [0, 8, 8, 88, 136, 864, 1088]
    for n in range(8, 5000):
        more = precision.rounded(n) - n
        assert 0 <= more <= max(7, n / 16)
    assert len({precision.rounded(n) for n in range(1, 1025)}) <= 64


def test_packed_products_are_of_round_numbers_of_rows(monkeypatch):
    if not precision.available(torch.float32):
        pytest.skip("oneDNN multiplies no arranged matrices here")
    counts = []

    def product(rows, *rest):
        counts.append(len(rows))
        return precision.product(rows, *rest)

    monkeypatch.setattr(matrix, "product", product)
    kept = Matrix(torch.randn(4, 6))
    for n in range(1, 200):
        rows = torch.randn(n, 4)
        torch.testing.assert_close(kept.times(rows), rows @ kept.weight)
        bias = torch.randn(6)
        torch.testing.assert_close(kept.times(rows, bias, gelu=True), F.gelu(rows @ kept.weight + bias))
    assert len(set(counts)) < 30
