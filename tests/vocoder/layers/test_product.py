"""Products with a constant matrix, arranged beforehand or not."""

import copy
import pickle

import pytest
import torch
from torch.nn import functional as F

from vocoder.kernels.launcher import takes
from vocoder.layers import product
from vocoder.layers.conditioning import MelEncoder
from vocoder.layers.product import FrameConv, Matrix, Product, multiplies_pairs, multiplies_tiles
from vocoder.layers.stack.wavenet import set_compute_dtype

TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.5, torch.float64: 1e-10}


@pytest.mark.parametrize("way", ["plain", "panels", "halves", "wide panels", "vectors"])
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_products_equal_those_of_torch(way, dtype, monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512" if way == "wide panels" else "AVX2")
    monkeypatch.setattr(product, "multiplies_tiles", lambda: way != "vectors" and multiplies_tiles())
    if way == "plain":
        monkeypatch.setattr(product, "kernel", lambda *names: None)
    weight, bias = torch.randn(24, 50, dtype=dtype), torch.randn(50, dtype=dtype)
    weight = weight.half().to(dtype) if way == "halves" else weight  # panels store such weights in 16 bits
    kept = Matrix(weight, bias)
    compiled = way != "plain" and (dtype != torch.bfloat16 or multiplies_pairs(dtype))
    assert (kept._run is not None) == compiled
    shapes = (1, 24), (77, 24), (3, 5, 24), (0, 24), (400, 24)
    for rows in (*(torch.randn(shape, dtype=dtype) for shape in shapes), torch.randn(24, 9, dtype=dtype).t()):
        expected = rows.double() @ weight.double() + bias.double()
        torch.testing.assert_close(kept.times(rows).double(), expected, atol=TOLERANCE[dtype], rtol=0)
        unbiased = Matrix(weight).times(rows).double()
        torch.testing.assert_close(unbiased, expected - bias.double(), atol=TOLERANCE[dtype], rtol=0)
        if compiled and len(rows) == 77:  # whatever the other rows are
            assert torch.equal(kept.times(rows)[30:41], kept.times(rows[30:41]))
    padded = F.pad(torch.randn(32, 24, dtype=dtype), (0, kept.room - 24))  # rows that need no copy
    expected = padded[:, :24].double() @ weight.double() + bias.double()
    torch.testing.assert_close(kept.times(padded).double(), expected, atol=TOLERANCE[dtype], rtol=0)
    x = torch.randn(2, 131, 8, dtype=dtype)  # more rows than one pass over a panel takes
    expected = x.double().unfold(1, 3, 1).transpose(2, 3).flatten(2) @ weight.double() + bias.double()
    torch.testing.assert_close(kept.windows(x, 3).double(), expected, atol=TOLERANCE[dtype], rtol=0)


def test_rows_with_gradients_or_under_transforms_are_not_compiled():
    rows = torch.randn(3, 4)
    assert takes(rows)
    graded = rows.clone().requires_grad_()
    assert not takes(graded)
    with torch.no_grad():
        assert takes(graded)
    assert torch.func.vmap(lambda row: row * float(takes(row)))(rows).abs().max() == 0
    with torch.autocast("cpu"):
        assert not takes(rows)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_frozen_product_is_the_same_up_to_rounding(dtype):
    layer, rows = Product(24, 16), torch.randn(3, 7, 24)
    layer.compute_dtype = dtype
    free = layer(rows).detach()
    frozen = layer.requires_grad_(False)(rows)
    assert frozen.dtype == dtype
    torch.testing.assert_close(frozen.float(), free.float(), atol=2e-2 if dtype == torch.bfloat16 else 1e-5, rtol=1e-2)


def test_a_frozen_product_follows_its_weights_and_can_be_copied():
    layer, rows = Product(8, 4).requires_grad_(False), torch.randn(5, 8)
    before = layer(rows)
    with torch.no_grad():
        layer.weight.mul_(2.0)
        layer.bias.mul_(2.0)
    torch.testing.assert_close(layer(rows), 2 * before)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        torch.testing.assert_close(other(rows), 2 * before)


@pytest.mark.parametrize(("taps", "ahead"), [(1, None), (3, None), (5, 2), (5, 0), (5, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_frozen_convolution_is_the_same_up_to_rounding(taps, ahead, dtype):
    layer, x = FrameConv(6, 9, taps, ahead).to(dtype), torch.randn(2, 6, 17, dtype=dtype)
    free = layer(x).detach()
    torch.testing.assert_close(free, F.conv1d(F.pad(x, layer.sides), layer.weight, layer.bias))
    torch.testing.assert_close(layer.requires_grad_(False)(x), free)
    torch.testing.assert_close(layer(x.transpose(1, 2).contiguous().transpose(1, 2)), free)


def test_only_frozen_float32_convolutions_that_are_not_precise_multiply_in_bfloat16():
    x = torch.randn(2, 6, 17)
    for precise in (False, True):
        layer = FrameConv(6, 9, 3, 1, precise)
        set_compute_dtype(layer, torch.bfloat16)
        free = layer(x).detach()
        rounded = layer.requires_grad_(False)(x)
        assert rounded.dtype == torch.float32
        assert torch.allclose(rounded, free, atol=1e-6) == precise
        torch.testing.assert_close(rounded, free, atol=2e-2, rtol=1e-2)
        torch.testing.assert_close(layer.double()(x.double()).float(), free)


def test_a_condition_has_the_same_bits_on_any_number_of_threads():
    encoder = MelEncoder(80, 128).float().requires_grad_(False)
    set_compute_dtype(encoder, torch.bfloat16)
    before = torch.get_num_threads()
    for mel in torch.randn(20, 1, 80, 232, dtype=torch.float32):
        made = []
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            made.append(encoder(mel))
        torch.set_num_threads(before)
        assert all(torch.equal(made[0], other) for other in made[1:])
