"""Utterances one after another in one row, with gaps between them, are computed as if each stood alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vocoder.layers.stack.wavenet import WaveNetConfig, WaveNetStack


@pytest.mark.parametrize("causal", [False, True])
def test_what_stands_in_a_gap_is_not_seen(causal: bool) -> None:
    torch.manual_seed(0)
    config = WaveNetConfig(channels=6, dilations=(1, 2, 4), kernel_size=3, causal=causal)
    stack = WaveNetStack(2, 3, 4, config).double()
    nn.init.normal_(stack.end.weight)
    first, second = torch.randn(1, 2, 10).double(), torch.randn(1, 2, 14).double()
    conds = torch.randn(1, 4, 5).double(), torch.randn(1, 4, 7).double()
    reach = (8 if causal else 4) // 2  # of the widest layer, in frames of two steps
    x = torch.cat([first, 9.0 * torch.randn(1, 2, 2 * reach).double(), second], dim=2)
    cond = torch.cat([conds[0], 9.0 * torch.randn(1, 4, reach).double(), conds[1]], dim=2)
    gaps = torch.arange(10, 10 + 2 * reach)
    packed = stack(x, cond, gaps)
    torch.testing.assert_close(packed[:, :, :10], stack(first, conds[0]))
    torch.testing.assert_close(packed[:, :, 10 + 2 * reach :], stack(second, conds[1]))
    assert not torch.allclose(stack(x, cond)[:, :, -14:], packed[:, :, -14:])
