"""Gated stacks, ours and the published kind: plain, compiled and stepwise code compute the same function."""

import copy

import pytest
import torch
from tiny_models import perturbed

from vocoder.config import ConfigError
from vocoder.layers import product
from vocoder.layers.stack.plain import StackStepper, gate_offsets
from vocoder.layers.stack.wavenet import PublishedStackConfig, WaveNetConfig, WaveNetStack, set_compute_dtype

SHAPES = {
    "published": WaveNetConfig(channels=16, dilations=(1, 2, 4, 8)),
    "shipped": WaveNetConfig(channels=24, dilations=(1, 2, 1)),
    "wide kernel": WaveNetConfig(channels=4, dilations=(2, 1), kernel_size=5),
    "causal": WaveNetConfig(channels=16, dilations=(1, 5), causal=True),
    "two taps": WaveNetConfig(channels=16, dilations=(1, 4), kernel_size=2, causal=True),
    "pointwise": WaveNetConfig(channels=4, dilations=(1, 1), kernel_size=1),
}
every_shape = pytest.mark.parametrize("name", SHAPES)
float64 = pytest.mark.usefixtures("float64")


def stack_of(name, cond=5):
    return perturbed(WaveNetStack(4, 6, cond, SHAPES[name]), 0.1).eval().requires_grad_(False)


def plain(stack, x, cond, gaps=None):
    return stack.plain(stack.start.weight.dtype, x, cond, gaps)


def assert_compiled(stack, x, cond, gaps=None):
    torch.testing.assert_close(stack(x, cond, gaps), plain(stack, x, cond, gaps), atol=2e-5, rtol=1e-5)
    assert stack._kept._made is not None


@pytest.fixture(params=["plain", "compiled"])
def products(request, monkeypatch):
    if request.param == "plain":
        monkeypatch.setattr(product, "kernel", lambda *names: None)


@every_shape
def test_compiled_code_equals_plain_operations(products, name):
    stack, unconditional = stack_of(name), stack_of(name, cond=0)
    for batch, frames, steps in ((1, 7, 7), (1, 9, 144), (3, 5, 40), (2, 600, 600), (1, 1, 3)):
        x = torch.randn(batch, 4, steps)
        assert_compiled(stack, x, torch.randn(batch, 5, frames))
        assert_compiled(unconditional, x, None)


def test_any_number_of_rows_gives_the_same_result(products):
    stack = stack_of("shipped")
    for steps in (1, 3, 7, 8, 9, 37, 129, 513, 1301):
        gaps = torch.tensor([0, steps // 2, steps - 1]).unique()
        x, cond = torch.randn(1, 4, steps), torch.randn(1, 5, steps)
        assert_compiled(stack, x, cond)
        assert_compiled(stack, x, cond, gaps)


def test_trainable_weights_use_plain_operations_and_changes_apply_at_once():
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


@pytest.mark.parametrize("frozen", [True, False])
def test_bfloat16_is_close_to_float32(frozen):
    stack = perturbed(WaveNetStack(4, 6, 5, WaveNetConfig(64, (1, 2, 4))), 0.05).requires_grad_(not frozen)
    x, cond = torch.randn(1, 4, 512), torch.randn(1, 5, 128)
    exact = plain(stack, x, cond)
    set_compute_dtype(torch.nn.Sequential(stack), torch.bfloat16)
    rounded = stack(x, cond)
    assert rounded.dtype == torch.bfloat16
    assert 0 < (rounded.float() - exact).square().mean() / exact.square().mean() < 2e-4


@float64
@every_shape
def test_the_receptive_field_equals_the_context(name):
    stack, x = perturbed(WaveNetStack(2, 3, 0, SHAPES[name]), 0.5), torch.randn(1, 2, 61)
    (before, after), moved = SHAPES[name].context, x.clone()
    moved[:, :, 30] += 1.0
    difference = (stack(moved) - stack(x)).abs().amax(dim=(0, 1))
    changed = torch.nonzero(difference > 1e-15).flatten().tolist()
    assert (changed[0], changed[-1]) == (30 - after, 30 + before)


@float64
def test_each_layer_uses_its_own_part_of_the_condition_broadcast_over_its_steps():
    stack, x = perturbed(stack_of("shipped")), torch.randn(2, 4, 12)
    for frames in (1, 3, 6, 12):
        cond = torch.randn(2, 5, frames)
        torch.testing.assert_close(stack(x, cond), stack(x, cond.repeat_interleave(12 // frames, dim=2)))
    for rows in torch.arange(144).split(48):
        moved = copy.deepcopy(stack)
        moved.cond_layer.weight[rows] += 0.3
        assert (moved(x, cond) - stack(x, cond)).abs().max() > 1e-4


@float64
@pytest.mark.parametrize("causal", [False, True])
def test_the_content_of_gaps_is_ignored(causal):
    """Utterances in one row with gaps between them give the same result as each alone."""
    config = WaveNetConfig(channels=6, dilations=(1, 2, 4), kernel_size=3, causal=causal)
    stack = perturbed(WaveNetStack(2, 3, 4, config))
    xs, conds = (torch.randn(1, 2, 10), torch.randn(1, 2, 14)), (torch.randn(1, 4, 5), torch.randn(1, 4, 7))
    reach = (8 if causal else 4) // 2  # of the widest layer, in frames of two steps
    x = torch.cat([xs[0], 9.0 * torch.randn(1, 2, 2 * reach), xs[1]], dim=2)
    cond = torch.cat([conds[0], 9.0 * torch.randn(1, 4, reach), conds[1]], dim=2)
    packed = stack(x, cond, torch.arange(10, 10 + 2 * reach))
    torch.testing.assert_close(packed[:, :, :10], stack(xs[0], conds[0]))
    torch.testing.assert_close(packed[:, :, -14:], stack(xs[1], conds[1]))
    assert not torch.allclose(stack(x, cond)[:, :, -14:], packed[:, :, -14:])


def causal_stack(kernel, cond=3):
    return perturbed(WaveNetStack(2, 4, cond, WaveNetConfig(5, (1, 2, 4), kernel, causal=True))).requires_grad_(False)


def published(kernel):
    return WaveNetStack(2, 4, 3, PublishedStackConfig(5, 4, 3, (1, 2, 4), kernel)).requires_grad_(False)


@float64
@pytest.mark.parametrize(
    ("network", "frames"),
    [
        *((lambda kernel=kernel: causal_stack(kernel), 6) for kernel in (1, 2, 3)),
        (lambda: causal_stack(2, cond=0), None),
        *((lambda kernel=kernel: published(kernel), 24) for kernel in (1, 2, 3)),
    ],
)
def test_stepwise_output_equals_the_parallel_pass(network, frames):
    made, x, cond = network(), torch.randn(2, 2, 24), None if frames is None else torch.randn(2, 3, frames)
    offsets, stepper = gate_offsets(made, cond, 2), StackStepper(made, 2)
    stepwise = torch.stack([stepper(x[:, :, t], offsets[t * len(offsets) // 24]) for t in range(24)], dim=2)
    torch.testing.assert_close(stepwise, made(x, cond), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gate_offsets(causal_stack(2), None, 1), "condition"),
        (lambda: gate_offsets(causal_stack(2, cond=0), torch.zeros(1, 3, 3), 1), "condition"),
        (lambda: gate_offsets(published(2), None, 1), "condition"),
        (lambda: stack_of("shipped")(torch.zeros(1, 4, 10)), "if, and only if, the stack has condition channels"),
        (lambda: stack_of("shipped")(torch.zeros(1, 4, 10), torch.zeros(1, 5, 4)), "10 steps are not a multiple of 4"),
        (lambda: WaveNetConfig(channels=0), "channels must be at least 1"),
        (lambda: WaveNetConfig(dilations=()), "one layer"),
        (lambda: WaveNetConfig(dilations=(1, 0)), "positive dilations"),
        (lambda: WaveNetConfig(kernel_size=2), "must be odd unless causal, not 2"),
        (lambda: WaveNetConfig(kernel_size=0, causal=True), "kernel_size must be at least 1, not 0"),
    ],
)
def test_invalid_stacks_and_conditions_are_rejected(call, message):
    with pytest.raises((ConfigError, ValueError), match=message):
        call()
