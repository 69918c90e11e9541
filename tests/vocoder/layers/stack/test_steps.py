"""Causal stacks step by step, ours and the published kind, against their parallel pass."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vocoder.layers.stack import (
    CausalStack,
    PublishedStack,
    PublishedStackConfig,
    StackStepper,
    WaveNetConfig,
    WaveNetStack,
    gate_offsets,
)

pytestmark = pytest.mark.usefixtures("float64")


def stack(kernel: int, cond: int = 3) -> WaveNetStack:
    made = WaveNetStack(2, 4, cond, WaveNetConfig(5, (1, 2, 4), kernel, causal=True))
    torch.nn.init.normal_(made.end.weight)
    return made.requires_grad_(False)


def published(kernel: int, front: int, rectified: bool) -> PublishedStack:
    return PublishedStack(2, 4, 3, PublishedStackConfig(5, 4, 3, (1, 2, 4), kernel, front, rectified)).requires_grad_(
        False
    )


def stepped(network: CausalStack, x: Tensor, cond: Tensor | None) -> Tensor:
    offsets, stepper, steps = gate_offsets(network, cond, len(x)), StackStepper(network.weights(), len(x)), x.shape[2]
    return torch.stack([stepper(x[:, :, t], offsets[t * len(offsets) // steps]) for t in range(steps)], dim=2)


@pytest.mark.parametrize(
    ("network", "frames"),
    [
        *((lambda kernel=kernel: stack(kernel), 6) for kernel in (1, 2, 3)),
        (lambda: stack(2, cond=0), None),
        (lambda: published(1, 1, False), 24),
        (lambda: published(2, 5, True), 24),
        (lambda: published(3, 2, False), 24),
    ],
)
def test_steps_equal_the_parallel_pass(network, frames):
    made, x, cond = network(), torch.randn(2, 2, 24), None if frames is None else torch.randn(2, 3, frames)
    torch.testing.assert_close(stepped(made, x, cond), made(x, cond), rtol=0, atol=1e-12)


def test_a_condition_that_is_missing_or_too_much_is_refused():
    for network, cond in ((stack(2), None), (stack(2, cond=0), torch.zeros(1, 3, 3)), (published(2, 1, True), None)):
        with pytest.raises(ValueError, match="condition"):
            gate_offsets(network, cond, 1)
