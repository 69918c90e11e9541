"""The fused stack against plain operations, forwards and backwards, and the paired convolution inside it."""

from __future__ import annotations

import pytest
import torch
from tiny_models import stirred
from torch.nn import functional as F

from vocoder.layers import kept_weights, paired
from vocoder.layers.paired import PairedTaps
from vocoder.layers.stack_reference import reference_stack
from vocoder.layers.stack_rows import Tile
from vocoder.layers.wavenet import WaveNetConfig, WaveNetStack

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


@pytest.fixture(params=[True, False], ids=["in pairs", "one by one"])
def pairs(request, monkeypatch):
    monkeypatch.setattr(paired, "LEAST_PAIRS", 1)
    monkeypatch.setattr(kept_weights, "_pairs_pay", lambda dtype: request.param)
    return request.param


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize(("batch", "frames", "steps"), [(1, 7, 7), (1, 9, 144), (3, 5, 40), (2, 600, 600), (1, 1, 3)])
def test_it_speaks_as_plain_operations_do(pairs, name, batch, frames, steps):
    stack = stack_of(name).eval().requires_grad_(False)
    x, cond = torch.randn(batch, 4, steps), torch.randn(batch, 5, frames)
    torch.testing.assert_close(stack(x, cond), plain(stack, x, cond), atol=2e-5, rtol=1e-5)
    layers = stack._kept.ready(stack.weights(), torch.float32, True).layers
    taken = [layer._paired is not None for layer in layers]
    assert taken == [pairs and stack.config.kernel_size == 3] * len(taken)


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


@pytest.mark.parametrize("dilation", [1, 3, 8])
@pytest.mark.parametrize("offset_in_taps", [-1, -2], ids=["centred", "causal"])
def test_pairs_of_steps_are_convolved_as_single_ones_are(dilation, offset_in_taps):
    weight, hidden = torch.randn(12, 6, 1, 3), torch.randn(50, 6)
    taps = PairedTaps.of(weight, dilation, offset_in_taps * dilation, torch.float32)
    tile, rows = Tile(7, 47, 4, 49), 40 // (2 * dilation) * 2 * dilation
    gates = torch.ones(rows, 12)
    taps.convolve(hidden, tile, gates, add=True)
    silent = hidden.clone()
    silent[: tile.low], silent[tile.high :] = 0.0, 0.0
    before = -offset_in_taps * dilation
    padded = F.pad(silent.T[None], (before, 2 * dilation - before))
    expected = F.conv1d(padded, weight[:, :, 0], dilation=dilation)[0].T[tile.start : tile.start + rows] + 1.0
    torch.testing.assert_close(gates, expected, atol=1e-5, rtol=1e-5)
    taps.convolve(hidden, tile, gates, add=False)
    torch.testing.assert_close(gates, expected - 1.0, atol=1e-5, rtol=1e-5)


def test_few_rows_are_taken_one_by_one():
    taps = PairedTaps.of(torch.randn(4, 2, 1, 3), 16, -16, torch.float32)
    assert [taps.rows(n) for n in (0, 31, 127, 128, 160, 191)] == [0, 0, 0, 128, 160, 160]


def test_bfloat16_in_pairs_is_as_close_as_one_by_one(monkeypatch):
    monkeypatch.setattr(paired, "LEAST_PAIRS", 1)
    config, errors = WaveNetConfig(channels=64, dilations=(1, 2, 4)), {}
    torch.manual_seed(0)
    stack = stirred(WaveNetStack(4, 6, 5, config), 0.05).eval().requires_grad_(False)
    stack.compute_dtype = torch.bfloat16
    x, cond = torch.randn(1, 4, 512), torch.randn(1, 5, 512)
    exact = plain(stack, x, cond)
    for pairs in (False, True):
        monkeypatch.setattr(kept_weights, "_pairs_pay", lambda dtype, pairs=pairs: pairs)
        stack._kept.drop()
        errors[pairs] = float((stack(x, cond).float() - exact).square().mean() / exact.square().mean())
    assert 0 < errors[True] < 2 * errors[False] < 2e-4


def test_neither_pairs_nor_packed_matrices_are_prepared_for_weights_that_learn():
    stack = stack_of("shipped")
    for layer in stack._kept.ready(stack.weights(), torch.float32, frozen=False).layers:
        assert layer._paired is None
        assert layer._joined_with_cond._packed is None
