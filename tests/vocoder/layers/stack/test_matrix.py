"""Products with a matrix that stays the same, arranged beforehand or not."""

import copy
import pickle

import pytest
import torch
from torch.nn import functional as F

from vocoder.kernels.eligible import takes
from vocoder.layers.stack import matrix
from vocoder.layers.stack.matrix import Matrix, available, rounded

TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.5, torch.float64: 1e-10}


@pytest.mark.parametrize("way", ["plain", "packed", "panels", "halves"])
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_products_are_those_of_torch(way, dtype, monkeypatch):
    monkeypatch.setattr(matrix, "available", lambda dtype: way == "packed" and available(dtype))
    in_panels = way in ("panels", "halves")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2" if in_panels else "other")
    weight, bias = torch.randn(24, 40, dtype=dtype), torch.randn(40, dtype=dtype)
    weight = weight.half().to(dtype) if way == "halves" else weight  # which panels keep in 16 bits
    kept = Matrix(weight)
    assert (kept._packed is not None) == (way == "packed" and available(dtype))
    assert (kept.panels is not None) == (in_panels and dtype != torch.bfloat16)
    for rows in (
        *(torch.randn(shape, dtype=dtype) for shape in ((1, 24), (77, 24), (3, 5, 24), (0, 24))),
        torch.randn(24, 9, dtype=dtype).t(),
    ):
        expected = rows.double() @ weight.double()
        for one in (kept, copy.deepcopy(kept), pickle.loads(pickle.dumps(kept))):
            torch.testing.assert_close(one.times(rows).double(), expected, atol=TOLERANCE[dtype], rtol=0)
        gelu = F.gelu(expected + bias.double())
        torch.testing.assert_close(kept.times(rows, bias, gelu=True).double(), gelu, atol=TOLERANCE[dtype], rtol=0)
    x = torch.randn(2, 131, 8, dtype=dtype)  # more rows than are multiplied with a panel at a time
    expected = x.double().unfold(1, 3, 1).transpose(2, 3).flatten(2) @ weight.double() + bias.double()
    torch.testing.assert_close(kept.windows(x, 3, bias).double(), expected, atol=TOLERANCE[dtype], rtol=0)


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


def test_packed_products_are_of_round_numbers_of_rows_which_are_few_and_not_much_more():
    assert [rounded(n) for n in (0, 1, 8, 86, 129, 861, 1025)] == [0, 8, 8, 88, 136, 864, 1088]
    assert all(0 <= rounded(n) - n <= max(7, n / 16) for n in range(8, 5000))
    assert len({rounded(n) for n in range(1, 1025)}) <= 64
    kept = Matrix(torch.randn(4, 6, dtype=torch.bfloat16))
    assert kept.room(861) == (864 if available(torch.bfloat16) else 861)
