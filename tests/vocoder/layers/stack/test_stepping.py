from __future__ import annotations

import pytest
import torch

from vocoder.layers.stack.stepping import StackStepper
from vocoder.layers.stack.wavenet import WaveNetConfig, WaveNetStack

pytestmark = pytest.mark.usefixtures("float64")


def stack(kernel: int, cond: int = 3, causal: bool = True) -> WaveNetStack:
    made = WaveNetStack(2, 4, cond, WaveNetConfig(5, (1, 2, 4), kernel, causal))
    torch.nn.init.normal_(made.end.weight)
    return made.requires_grad_(False)


@pytest.mark.parametrize("kernel", [1, 2, 3])
def test_steps_equal_the_parallel_pass(kernel):
    network, x, cond = stack(kernel), torch.randn(2, 2, 24), torch.randn(2, 3, 6)
    stepper = StackStepper(network, 2, 24, cond)
    steps = torch.stack([stepper(x[:, :, t]) for t in range(24)], dim=2)
    torch.testing.assert_close(steps, network(x, cond), rtol=0, atol=1e-12)


def test_steps_without_a_condition():
    network, x = stack(2, cond=0), torch.randn(1, 2, 20)
    stepper = StackStepper(network, 1, 20)
    steps = torch.stack([stepper(x[:, :, t]) for t in range(20)], dim=2)
    torch.testing.assert_close(steps, network(x), rtol=0, atol=1e-12)


def test_refusals():
    with pytest.raises(ValueError, match="causal"):
        StackStepper(stack(3, causal=False), 1, 6, torch.zeros(1, 3, 6))
    with pytest.raises(ValueError, match="condition"):
        StackStepper(stack(2), 1, 6)
    with pytest.raises(ValueError, match="7 steps"):
        StackStepper(stack(2), 1, 7, torch.zeros(1, 3, 3))
