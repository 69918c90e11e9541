import copy
import itertools

import pytest
import torch
from tiny_models import perturbed
from torch.nn import functional as F

from vocoder.layers import frame_block
from vocoder.layers.frame_block import Blocks, FrameBlock
from vocoder.layers.product import multiplies_pairs, multiplies_quads, multiplies_tiles
from vocoder.layers.stack.wavenet import set_compute_dtype
from vocoder.stages import Span

pytestmark = pytest.mark.usefixtures("float64")


def test_a_block_matches_its_paper():
    block, x = perturbed(FrameBlock(4, 6, 5, 2, 0.5)), torch.randn(2, 4, 9)
    mixed = F.conv1d(F.pad(x, (2, 2)), block.depthwise.weight, block.depthwise.bias, groups=4)
    hidden = F.layer_norm(mixed.transpose(1, 2), (4,), block.norm.weight, block.norm.bias, 1e-6)
    wide = F.gelu(hidden @ block.expand.weight.T + block.expand.bias)
    expected = x + (block.scale * (wide @ block.contract.weight.T + block.contract.bias)).transpose(1, 2)
    torch.testing.assert_close(block(x), expected)


PAIRS = pytest.mark.skipif(not multiplies_pairs(torch.bfloat16), reason="no pair products of bfloat16 here")
QUADS = pytest.mark.skipif(not multiplies_quads(), reason="no products of 8-bit integers here")
KINDS = [(torch.float32, False), (torch.int8, True), (torch.bfloat16, False)]
KINDS += [pytest.param(torch.bfloat16, True, marks=PAIRS)]


@pytest.mark.parametrize(("dtype", "pairs"), KINDS)
@pytest.mark.parametrize("shape", [(1, 1), (2, 9), (1, 40), (3, 67)])
@pytest.mark.parametrize("channels", [23, 24, 50])
def test_a_frozen_block_is_the_same_up_to_rounding(dtype, pairs, shape, channels, monkeypatch):
    monkeypatch.setattr(frame_block, "multiplies_pairs", lambda dtype: pairs)
    block = perturbed(FrameBlock(channels, 41, 5, 1, 0.5)).float()
    set_compute_dtype(block, dtype)
    x, gaps = torch.randn(*shape, channels, dtype=torch.float32).transpose(1, 2), torch.tensor([0])
    free = [block(x).detach(), block(x, gaps).detach()]
    block.requires_grad_(False)
    tolerance = {"atol": 5e-2, "rtol": 2e-2} if dtype != torch.float32 else {"atol": 1e-5, "rtol": 1e-5}
    for made, expected in zip([block(x), block(x, gaps)], free, strict=True):
        torch.testing.assert_close(made, expected, **tolerance)
        assert not torch.equal(made, x)


@QUADS
@pytest.mark.parametrize("loud", [1.0, 100.0])
def test_integers_are_a_hundredth_off_even_beside_much_larger_values(loud):
    block = perturbed(FrameBlock(64, 100, 5, 1, 0.5)).float().requires_grad_(False)
    block.norm.weight[3] *= loud
    block.expand.weight[:, 3] /= loud
    block.expand.bias[7] += loud
    block.contract.weight[:, 7] /= loud
    x = torch.randn(1, 64, 200, dtype=torch.float32)
    expected = block(x)
    set_compute_dtype(block, torch.int8)
    assert 1e-4 < (block(x) - expected).norm() / (expected - x).norm() < 0.015
    x[0, 0, 100] = torch.nan  # all five frames that see it tell of it
    assert block(x).isnan().all(1).sum() == 5


@pytest.mark.skipif(not multiplies_tiles(), reason="no products of tiles here")
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 1e-2), (torch.int8, 0.0)])
@pytest.mark.parametrize(("channels", "hidden"), [(64, 192), (32, 250)])
@pytest.mark.parametrize("frames", [1, 16, 67, 700])
def test_tiles_and_vectors_multiply_alike(dtype, tolerance, channels, hidden, frames, monkeypatch):
    block = perturbed(FrameBlock(channels, hidden, 5, 1, 0.5)).float().requires_grad_(False)
    set_compute_dtype(block, dtype)
    x = torch.randn(1, frames, channels, dtype=torch.float32).transpose(1, 2)
    made = block(x)
    monkeypatch.setattr(frame_block, "multiplies_tiles", lambda *sizes: False)
    torch.testing.assert_close(made, copy.deepcopy(block)(x), atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, pytest.param(torch.bfloat16, marks=PAIRS), torch.int8])
@pytest.mark.parametrize(("channels", "ahead"), [(24, (0, 0, 0)), (64, (2, 1, 0))])
def test_blocks_in_turn_are_the_same_as_one_by_one_whole_and_in_pieces(dtype, channels, ahead, monkeypatch):
    if dtype == torch.float64:  # plain operations look for no kernel: numba cannot compile one while PyTorch traces
        monkeypatch.delattr(frame_block, "kernel")
    blocks = [perturbed(FrameBlock(channels, 96, 5, after, 0.5)).requires_grad_(False) for after in ahead]
    x = torch.randn(2, channels, 103, dtype=torch.float64 if dtype == torch.float64 else torch.float32)
    expected, given = x.clone(), x.clone()
    for block in blocks:
        set_compute_dtype(block.to(x.dtype), dtype)
        expected = block(expected)
    limits = {"atol": {torch.float64: 1e-12, torch.float32: 3e-6}.get(dtype, 0.0), "rtol": 0.0}
    torch.testing.assert_close(Blocks(blocks)(Span(0, 0, 103, 103), x), expected, **limits)
    for batch in (1, 2):
        stage, ends = Blocks(blocks), (0, 1, 4, 37, 40, 100, 103)
        for start, stop in itertools.pairwise(ends):
            first, last = max(start - stage.before, 0), min(stop + stage.after, 103)
            made = stage(Span(first, start, stop, last), x[:batch, :, first:last])
            torch.testing.assert_close(made, expected[:batch, :, start:stop], **limits)
    assert torch.equal(x, given)
