"""The fused stack against plain operations, forwards and backwards."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from tiny_models import stirred

from vocoder.layers.stack import matrix
from vocoder.layers.stack.precision import available
from vocoder.layers.stack.reference import reference_stack
from vocoder.layers.stack.wavenet import WaveNetConfig, WaveNetStack

SHAPES = {
    "published": WaveNetConfig(channels=16, dilations=(1, 2, 4, 8)),
    "shipped": WaveNetConfig(channels=24, dilations=(1, 2, 1)),
    "causal": WaveNetConfig(channels=16, dilations=(1, 5), causal=True),
    "two taps": WaveNetConfig(channels=16, dilations=(1, 4), kernel_size=2, causal=True),
}


def stack_of(name: str) -> WaveNetStack:
    torch.manual_seed(0)
    return stirred(WaveNetStack(4, 6, 5, SHAPES[name]), 0.1)


def plain(stack: WaveNetStack, x: torch.Tensor, cond: torch.Tensor) -> torch.Tensor:
    config = stack.config
    return reference_stack(stack.weights(), config.dilations, config.causal, torch.float32, x, cond)


@pytest.fixture(params=[False, True], ids=["plain", "packed"])
def packs(request, monkeypatch):
    """Decide which products are taken, whatever this processor offers."""
    monkeypatch.setattr(matrix, "available", lambda dtype: request.param and available(dtype))
    return request.param


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize(("batch", "frames", "steps"), [(1, 7, 7), (1, 9, 144), (3, 5, 40), (2, 600, 600), (1, 1, 3)])
def test_it_speaks_as_plain_operations_do(packs, name, batch, frames, steps):
    stack = stack_of(name).eval().requires_grad_(False)
    x, cond = torch.randn(batch, 4, steps), torch.randn(batch, 5, frames)
    torch.testing.assert_close(stack(x, cond), plain(stack, x, cond), atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize(("frames", "steps"), [(30, 30), (5, 40)])
def test_its_gradients_are_those_of_plain_operations(name, frames, steps):
    stack = stack_of(name)
    x, cond = (torch.randn(2, channels, n, requires_grad=True) for channels, n in ((4, steps), (5, frames)))
    inputs, grad = (x, cond, *stack.parameters()), torch.randn(2, 6, steps)
    found = torch.autograd.grad(stack(x, cond), inputs, grad)
    expected = torch.autograd.grad(plain(stack, x, cond), inputs, grad)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=2e-5 * float(other.abs().max()), rtol=1e-4)


def test_weights_that_change_are_used_at_once():
    stack = stack_of("shipped").eval().requires_grad_(False)
    x, cond = torch.randn(1, 4, 200), torch.randn(1, 5, 200)
    before = stack(x, cond)
    stack.in_layers[1].weight.mul_(0.5)
    assert (stack(x, cond) - before).abs().max() > 1e-4
    torch.testing.assert_close(stack(x, cond), plain(stack, x, cond), atol=2e-5, rtol=1e-5)


def test_bfloat16_is_close(packs):
    config = WaveNetConfig(channels=64, dilations=(1, 2, 4))
    torch.manual_seed(0)
    stack = stirred(WaveNetStack(4, 6, 5, config), 0.05).eval().requires_grad_(False)
    stack.compute_dtype = torch.bfloat16
    x, cond = torch.randn(1, 4, 512), torch.randn(1, 5, 512)
    exact = plain(stack, x, cond)
    assert 0 < (stack(x, cond).float() - exact).square().mean() / exact.square().mean() < 2e-4


def test_matrices_are_not_arranged_for_weights_that_learn(packs):
    stack, arranged = stack_of("shipped"), {}
    for frozen in (False, True):
        stack.requires_grad_(not frozen)
        ready = stack._kept.ready(stack.weights(), torch.float32, frozen)
        arranged[frozen] = [layer._joined_with_cond._packed is not None for layer in ready.layers]
    assert arranged == {False: [False] * 3, True: [packs and available(torch.float32)] * 3}


def test_a_copy_speaks_as_its_original(packs):
    stack = stack_of("shipped").eval().requires_grad_(False)
    x, cond = torch.randn(1, 4, 20), torch.randn(1, 5, 20)
    before = stack(x, cond)
    assert torch.equal(copy.deepcopy(stack)(x, cond), before)
    assert torch.equal(pickle.loads(pickle.dumps(stack))(x, cond), before)


@pytest.mark.parametrize("steps", [1, 3, 7, 8, 9, 37, 129, 511, 512, 513, 1301])
def test_rows_that_are_computed_along_change_nothing(packs, steps):
    stack = stack_of("shipped").eval().requires_grad_(False)
    x, cond = torch.randn(1, 4, steps), torch.randn(1, 5, steps)
    torch.testing.assert_close(stack(x, cond), plain(stack, x, cond), atol=2e-5, rtol=1e-5)
    gaps = torch.tensor([0, steps // 2, steps - 1]).unique()
    expected = reference_stack(stack.weights(), (1, 2, 1), False, torch.float32, x, cond, gaps)
    torch.testing.assert_close(stack(x, cond, gaps), expected, atol=2e-5, rtol=1e-5)
