"""The compiled stack against plain operations."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from tiny_models import stirred

from vocoder.layers.stack import matrix
from vocoder.layers.stack.plain import plain_stack
from vocoder.layers.stack.precision import available
from vocoder.layers.stack.wavenet import WaveNetConfig, WaveNetStack

SHAPES = {
    "published": WaveNetConfig(channels=16, dilations=(1, 2, 4, 8)),
    "shipped": WaveNetConfig(channels=24, dilations=(1, 2, 1)),
    "causal": WaveNetConfig(channels=16, dilations=(1, 5), causal=True),
    "two taps": WaveNetConfig(channels=16, dilations=(1, 4), kernel_size=2, causal=True),
}


def stack_of(name: str, cond: int = 5) -> WaveNetStack:
    torch.manual_seed(0)
    return stirred(WaveNetStack(4, 6, cond, SHAPES[name]), 0.1).eval().requires_grad_(False)


def plain(stack: WaveNetStack, x: torch.Tensor, cond: torch.Tensor | None, gaps=None) -> torch.Tensor:
    return plain_stack(stack.weights(), torch.float32, x, stack.shares(cond, torch.float32), gaps)


def assert_compiled(stack: WaveNetStack, x: torch.Tensor, cond: torch.Tensor | None, gaps=None) -> None:
    torch.testing.assert_close(stack(x, cond, gaps), plain(stack, x, cond, gaps), atol=2e-5, rtol=1e-5)
    assert stack._kept._made is not None


@pytest.fixture(params=[False, True], ids=["plain", "packed"])
def packs(request, monkeypatch):
    """Decide which products are taken, whatever this processor offers."""
    monkeypatch.setattr(matrix, "available", lambda dtype: request.param and available(dtype))
    return request.param


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize(("batch", "frames", "steps"), [(1, 7, 7), (1, 9, 144), (3, 5, 40), (2, 600, 600), (1, 1, 3)])
def test_it_computes_what_plain_operations_do(packs, name, batch, frames, steps):
    stack = stack_of(name)
    assert_compiled(stack, torch.randn(batch, 4, steps), torch.randn(batch, 5, frames))
    assert_compiled(stack_of(name, cond=0), torch.randn(batch, 4, steps), None)


@pytest.mark.parametrize("steps", [1, 3, 7, 8, 9, 37, 129, 513, 1301])
def test_rows_that_are_added_change_nothing(packs, steps):
    stack, gaps = stack_of("shipped"), torch.tensor([0, steps // 2, steps - 1]).unique()
    x, cond = torch.randn(1, 4, steps), torch.randn(1, 5, steps)
    assert_compiled(stack, x, cond)
    assert_compiled(stack, x, cond, gaps)


def test_weights_that_learn_take_the_plain_way_and_changes_are_used_at_once():
    stack = stack_of("shipped")
    x, cond = torch.randn(1, 4, 200), torch.randn(1, 5, 200)
    before = stack(x, cond)
    stack.requires_grad_(True)
    assert stack(x, cond).requires_grad
    assert stack._kept._made is None
    stack.requires_grad_(False)
    stack(x, cond)
    stack.in_layers[1].weight.mul_(0.5)
    assert (stack(x, cond) - before).abs().max() > 1e-4
    assert_compiled(stack, x, cond)


def test_inputs_that_want_a_gradient_take_the_plain_way():
    stack, x, cond = stack_of("causal"), torch.randn(1, 4, 12, requires_grad=True), torch.randn(1, 5, 12)
    (found,) = torch.autograd.grad(stack(x, cond).square().sum(), x)
    (expected,) = torch.autograd.grad(plain(stack, x, cond).square().sum(), x)
    assert torch.equal(found, expected)


def test_bfloat16_is_close(packs):
    config = WaveNetConfig(channels=64, dilations=(1, 2, 4))
    torch.manual_seed(0)
    stack = stirred(WaveNetStack(4, 6, 5, config), 0.05).eval().requires_grad_(False)
    stack.compute_dtype = torch.bfloat16
    x, cond = torch.randn(1, 4, 512), torch.randn(1, 5, 512)
    exact = plain(stack, x, cond)
    assert 0 < (stack(x, cond).float() - exact).square().mean() / exact.square().mean() < 2e-4


def test_copies_compute_the_same(packs):
    stack = stack_of("shipped")
    x, cond = torch.randn(1, 4, 20), torch.randn(1, 5, 20)
    before = stack(x, cond)
    assert torch.equal(copy.deepcopy(stack)(x, cond), before)
    assert torch.equal(pickle.loads(pickle.dumps(stack))(x, cond), before)
