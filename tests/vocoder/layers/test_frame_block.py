from __future__ import annotations

import copy
import pickle

import pytest
import torch
from tiny_models import stirred
from torch.nn import functional as F

from vocoder.layers.frame_block import FrameBlock, Product

pytestmark = pytest.mark.usefixtures("float64")


def test_a_block_is_what_its_paper_says():
    block, x = stirred(FrameBlock(4, 6, 5, 2, 0.5)), torch.randn(2, 9, 4)
    mixed = F.conv1d(F.pad(x.transpose(1, 2), (2, 2)), block.depthwise.weight, block.depthwise.bias, groups=4)
    hidden = F.layer_norm(mixed.transpose(1, 2), (4,), block.norm.weight, block.norm.bias, 1e-6)
    wide = F.gelu(hidden @ block.expand.weight.T + block.expand.bias)
    expected = x + block.scale * (wide @ block.contract.weight.T + block.contract.bias)
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("ahead", [0, 1, 4])
def test_a_step_depends_on_what_the_block_sees(ahead):
    block, x = stirred(FrameBlock(4, 6, 5, ahead, 0.5)), torch.randn(1, 15, 4)
    moved = x.clone()
    moved[:, 7] += 1.0
    difference = (block(moved) - block(x)).abs().amax(dim=(0, 2))
    assert torch.nonzero(difference > 1e-15).flatten().tolist() == list(range(7 - ahead, 8 + 4 - ahead))
    assert (block.before, block.after) == (4 - ahead, ahead)


def test_steps_of_a_gap_are_zeros_to_the_others():
    block, x = stirred(FrameBlock(4, 6, 3, 1, 0.5)), torch.randn(1, 8, 4)
    alone = block(x[:, :4])
    torch.testing.assert_close(block(x, torch.tensor([4, 5, 6, 7]))[:, :4], alone)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_frozen_product_is_the_same_to_rounding(dtype):
    layer, rows = Product(24, 16).float(), torch.randn(3, 7, 24, dtype=torch.float32)
    layer.compute_dtype = dtype
    free = layer(rows).detach()
    frozen = layer.requires_grad_(False)(rows)
    assert frozen.dtype == dtype
    torch.testing.assert_close(frozen.float(), free.float(), atol=2e-2 if dtype == torch.bfloat16 else 1e-5, rtol=1e-2)


def test_a_frozen_product_follows_its_weights_and_can_be_copied():
    layer, rows = Product(8, 4).float().requires_grad_(False), torch.randn(5, 8, dtype=torch.float32)
    before = layer(rows)
    with torch.no_grad():
        layer.weight.mul_(2.0)
        layer.bias.mul_(2.0)
    torch.testing.assert_close(layer(rows), 2 * before)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        torch.testing.assert_close(other(rows), 2 * before)
