"""Causal stacks step by step, ours and the published kind, against their parallel pass."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vocoder.layers.published import PublishedStack, PublishedStackConfig
from vocoder.layers.stack.stepping import CausalStack, StackStepper
from vocoder.layers.stack.wavenet import WaveNetConfig, WaveNetStack

pytestmark = pytest.mark.usefixtures("float64")


def stack(kernel: int, cond: int = 3, causal: bool = True) -> WaveNetStack:
    made = WaveNetStack(2, 4, cond, WaveNetConfig(5, (1, 2, 4), kernel, causal))
    torch.nn.init.normal_(made.end.weight)
    return made.requires_grad_(False)


def stepped(network: CausalStack, x: Tensor, cond: Tensor | None) -> Tensor:
    shares = network.gate_shares(cond, x.shape[0]).permute(1, 2, 0, 3)
    stepper, steps = StackStepper(network.step_weights(), x.shape[1], x.shape[0]), x.shape[2]
    return torch.stack([stepper(x[:, :, t], shares[t * len(shares) // steps]) for t in range(steps)], dim=2)


@pytest.mark.parametrize("kernel", [1, 2, 3])
def test_steps_equal_the_parallel_pass(kernel):
    network, x, cond = stack(kernel), torch.randn(2, 2, 24), torch.randn(2, 3, 6)
    torch.testing.assert_close(stepped(network, x, cond), network(x, cond), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("kernel", "front", "rectified"), [(1, 1, False), (2, 5, True), (3, 2, False)])
def test_steps_of_a_published_stack_equal_its_parallel_pass(kernel, front, rectified):
    config = PublishedStackConfig(5, 4, 3, (1, 2, 4), kernel, front, rectified)
    network, x, cond = PublishedStack(2, 4, 6, config), torch.randn(2, 2, 24), torch.randn(2, 6, 24)
    network.requires_grad_(False)
    torch.testing.assert_close(stepped(network, x, cond), network(x, cond), rtol=0, atol=1e-12)


def test_steps_without_a_condition():
    network, x = stack(2, cond=0), torch.randn(1, 2, 20)
    torch.testing.assert_close(stepped(network, x, None), network(x), rtol=0, atol=1e-12)


def test_refusals():
    with pytest.raises(ValueError, match="causal"):
        stack(3, causal=False).step_weights()
    with pytest.raises(ValueError, match="condition"):
        stack(2).gate_shares(None, 1)
    with pytest.raises(ValueError, match="condition"):
        stack(2, cond=0).gate_shares(torch.zeros(1, 3, 3), 1)
