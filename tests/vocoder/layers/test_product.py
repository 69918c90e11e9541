import copy
import pickle

import pytest
import torch
from torch.nn import functional as F

from vocoder.layers.product import FrameConv, Product
from vocoder.layers.stack import set_compute_dtype


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_frozen_product_is_the_same_to_rounding(dtype):
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
def test_a_frozen_convolution_is_the_same_to_rounding(taps, ahead, dtype):
    layer, x = FrameConv(6, 9, taps, ahead).to(dtype), torch.randn(2, 6, 17, dtype=dtype)
    free = layer(x).detach()
    torch.testing.assert_close(free, F.conv1d(F.pad(x, layer.sides), layer.weight, layer.bias))
    torch.testing.assert_close(layer.requires_grad_(False)(x), free)
    torch.testing.assert_close(layer(x.transpose(1, 2).contiguous().transpose(1, 2)), free)


def test_only_a_frozen_float32_convolution_that_need_not_be_precise_multiplies_in_bfloat16():
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
