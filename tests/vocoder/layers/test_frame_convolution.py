from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from vocoder.layers.frame_convolution import FrameConvolution


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_frozen_one_is_the_convolution_that_it_was(kernel_size, dtype):
    layer, x = FrameConvolution(6, 9, kernel_size).to(dtype), torch.randn(2, 6, 11, dtype=dtype)
    expected = nn.functional.conv1d(x, layer.weight, layer.bias, padding=kernel_size // 2)
    torch.testing.assert_close(layer(x), expected)
    frozen = layer.requires_grad_(False)
    torch.testing.assert_close(frozen(x), expected)
    torch.testing.assert_close(copy.deepcopy(frozen)(x), expected)


def test_a_frozen_one_follows_its_weights():
    layer, x = FrameConvolution(3, 4, 3).requires_grad_(False), torch.randn(1, 3, 8)
    before = layer(x)
    with torch.no_grad():
        layer.weight.mul_(2.0)
        layer.bias.mul_(2.0)
    torch.testing.assert_close(layer(x), 2 * before)
    assert layer.double()(x.double()).dtype == torch.float64


def test_gradients_reach_the_input_of_a_frozen_one():
    layer, x = FrameConvolution(3, 4, 3).requires_grad_(False), torch.randn(1, 3, 8, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None
    assert (x.grad != 0).any()
