import pytest
import torch
from tiny_models import perturbed
from torch.nn import functional as F

from vocoder.layers.product import multiplies_pairs
from vocoder.layers.stack.wavenet import set_compute_dtype
from vocoder.models import reverse
from vocoder.models.reverse import FrameBlock

pytestmark = pytest.mark.usefixtures("float64")


def test_a_block_matches_its_paper():
    block, x = perturbed(FrameBlock(4, 6, 5, 2, 0.5)), torch.randn(2, 4, 9)
    mixed = F.conv1d(F.pad(x, (2, 2)), block.depthwise.weight, block.depthwise.bias, groups=4)
    hidden = F.layer_norm(mixed.transpose(1, 2), (4,), block.norm.weight, block.norm.bias, 1e-6)
    wide = F.gelu(hidden @ block.expand.weight.T + block.expand.bias)
    expected = x + (block.scale * (wide @ block.contract.weight.T + block.contract.bias)).transpose(1, 2)
    torch.testing.assert_close(block(x), expected)


PAIRS = pytest.mark.skipif(not multiplies_pairs(torch.bfloat16), reason="no pair products of bfloat16 here")


@pytest.mark.parametrize(
    ("dtype", "pairs"),
    [(torch.float32, False), (torch.bfloat16, False), pytest.param(torch.bfloat16, True, marks=PAIRS)],
)
@pytest.mark.parametrize("shape", [(1, 1), (2, 9), (1, 40), (3, 67)])
@pytest.mark.parametrize("channels", [23, 24, 50])
def test_a_frozen_block_is_the_same_up_to_rounding(dtype, pairs, shape, channels, monkeypatch):
    monkeypatch.setattr(reverse, "multiplies_pairs", lambda dtype: pairs)
    block = perturbed(FrameBlock(channels, 41, 5, 1, 0.5)).float()
    set_compute_dtype(block, dtype)
    x, gaps = torch.randn(*shape, channels, dtype=torch.float32).transpose(1, 2), torch.tensor([0])
    free = [block(x).detach(), block(x, gaps).detach()]
    block.requires_grad_(False)
    tolerance = {"atol": 5e-2, "rtol": 2e-2} if dtype == torch.bfloat16 else {"atol": 1e-5, "rtol": 1e-5}
    for made, expected in zip([block(x), block(x, gaps)], free, strict=True):
        torch.testing.assert_close(made, expected, **tolerance)
        assert not torch.equal(made, x)


@PAIRS
def test_rows_multiplied_in_pairs_do_not_depend_on_each_other():
    block = perturbed(FrameBlock(24, 40, 5, 1, 0.5)).float().requires_grad_(False)
    set_compute_dtype(block, torch.bfloat16)
    x = torch.randn(1, 230, 24, dtype=torch.float32).transpose(1, 2)
    assert torch.equal(block(x)[:, :, 20:50], block(x[:, :, 13:57])[:, :, 7:37])
