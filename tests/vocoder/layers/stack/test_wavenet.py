from __future__ import annotations

import pytest
import torch
from tiny_models import stirred

from vocoder.config import ConfigError
from vocoder.layers.stack.wavenet import WaveNetConfig, WaveNetStack, set_compute_dtype

SHAPES = {
    "published": WaveNetConfig(channels=4, dilations=(1, 2, 4)),
    "ours": WaveNetConfig(channels=4, dilations=(1, 2, 1)),
    "wide kernel": WaveNetConfig(channels=4, dilations=(2, 1), kernel_size=5),
    "causal": WaveNetConfig(channels=4, dilations=(1, 2, 4), kernel_size=2, causal=True),
    "causal, kernel 3": WaveNetConfig(channels=4, dilations=(1, 3), kernel_size=3, causal=True),
    "one layer": WaveNetConfig(channels=4, dilations=(1,)),
    "pointwise": WaveNetConfig(channels=4, dilations=(1, 1), kernel_size=1),
}


def changed_steps(stack: WaveNetStack, x: torch.Tensor, step: int) -> list[int]:
    """Return the steps whose output changes when the input changes at `step`."""
    moved = x.clone()
    moved[:, :, step] += 1.0
    with torch.no_grad():
        difference = (stack(moved) - stack(x)).abs().amax(dim=(0, 1))
    return torch.nonzero(difference > 1e-15).flatten().tolist()


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", SHAPES)
def test_the_receptive_field_is_exactly_the_context(name):
    stack = stirred(WaveNetStack(2, 3, 0, SHAPES[name]), 0.5)
    before, after = SHAPES[name].context
    changed = changed_steps(stack, torch.randn(1, 2, 41), 20)
    assert changed == list(range(20 - after, 20 + before + 1))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", [name for name, config in SHAPES.items() if config.causal])
def test_a_causal_stack_never_sees_the_future(name):
    stack = stirred(WaveNetStack(2, 3, 5, SHAPES[name]))
    x, cond = torch.randn(2, 2, 24), torch.randn(2, 5, 24)
    moved_x, moved_cond = x.clone(), cond.clone()
    moved_x[:, :, 13:] = torch.randn(2, 2, 11)
    moved_cond[:, :, 13:] = torch.randn(2, 5, 11)
    y, moved = stack(x, cond), stack(moved_x, moved_cond)
    torch.testing.assert_close(moved[:, :, :13], y[:, :, :13], atol=1e-15, rtol=0)
    assert ((moved - y)[:, :, 13:].abs() > 1e-6).all()


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("frames", [1, 3, 6, 12])
def test_a_condition_at_frame_rate_is_broadcast_over_its_steps(frames):
    stack = stirred(WaveNetStack(2, 3, 5, SHAPES["ours"]))
    x, cond = torch.randn(2, 2, 12), torch.randn(2, 5, frames)
    torch.testing.assert_close(stack(x, cond), stack(x, cond.repeat_interleave(12 // frames, dim=2)))


@pytest.mark.usefixtures("float64")
def test_each_layer_reads_its_own_part_of_the_condition():
    config = SHAPES["ours"]
    stack = stirred(WaveNetStack(2, 3, 5, config))
    x, cond = torch.randn(1, 2, 6), torch.randn(1, 5, 6)
    assert stack.cond_layer is not None
    before = stack(x, cond)
    for layer in range(len(config.dilations)):
        rows = slice(layer * 2 * config.channels, (layer + 1) * 2 * config.channels)
        with torch.no_grad():
            kept = stack.cond_layer.weight[rows].clone()
            stack.cond_layer.weight[rows] += 0.3
        assert (stack(x, cond) - before).abs().max() > 1e-4
        with torch.no_grad():
            stack.cond_layer.weight[rows] = kept


def test_the_output_starts_at_zero():
    assert torch.equal(WaveNetStack(2, 3, 0, SHAPES["ours"])(torch.randn(2, 2, 9)), torch.zeros(2, 3, 9))


@pytest.mark.parametrize("name", ["published", "causal"])
def test_bfloat16_is_close_to_float32(name):
    config = WaveNetConfig(32, SHAPES[name].dilations, SHAPES[name].kernel_size, SHAPES[name].causal)
    stack = stirred(WaveNetStack(4, 6, 8, config), 0.05)
    x, cond = torch.randn(2, 4, 64), torch.randn(2, 8, 16)
    exact = stack(x, cond)
    set_compute_dtype(stack, torch.bfloat16)
    rounded = stack(x, cond)
    assert (exact.dtype, rounded.dtype) == (torch.float32, torch.bfloat16)
    assert 0 < (rounded.float() - exact).square().mean().sqrt() < 0.02 * exact.square().mean().sqrt()
    set_compute_dtype(stack, None)
    assert torch.equal(stack(x, cond), exact)


def test_every_stack_inside_a_module_gets_the_dtype():
    stacks = torch.nn.ModuleList(WaveNetStack(1, 1, 0, SHAPES["one layer"]) for _ in range(2))
    set_compute_dtype(torch.nn.Sequential(torch.nn.Identity(), stacks), torch.bfloat16)
    assert [stack.compute_dtype for stack in stacks] == [torch.bfloat16] * 2


def test_steps_that_no_number_of_frames_fits_are_refused():
    with pytest.raises(ValueError, match="10 steps are no multiple of 4 condition frames"):
        WaveNetStack(2, 3, 5, SHAPES["ours"])(torch.zeros(1, 2, 10), torch.zeros(1, 5, 4))


def test_a_missing_condition_is_refused():
    with pytest.raises(ValueError, match="needs its condition"):
        WaveNetStack(2, 3, 5, SHAPES["ours"])(torch.zeros(1, 2, 10))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": 0}, "at least one channel"),
        ({"dilations": ()}, "one layer"),
        ({"dilations": (1, 0)}, "positive dilations"),
        ({"kernel_size": 2}, "must be odd and positive, not 2"),
        ({"kernel_size": 0, "causal": True}, "positive, not 0"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        WaveNetConfig(**changes)


@pytest.mark.parametrize("causal", [False, True])
def test_what_stands_in_a_gap_is_not_seen(causal: bool) -> None:
    """Utterances one after another in one row, with gaps between them, are computed as if each stood alone."""
    torch.manual_seed(0)
    config = WaveNetConfig(channels=6, dilations=(1, 2, 4), kernel_size=3, causal=causal)
    stack = stirred(WaveNetStack(2, 3, 4, config)).double()
    first, second = torch.randn(1, 2, 10).double(), torch.randn(1, 2, 14).double()
    conds = torch.randn(1, 4, 5).double(), torch.randn(1, 4, 7).double()
    reach = (8 if causal else 4) // 2  # of the widest layer, in frames of two steps
    x = torch.cat([first, 9.0 * torch.randn(1, 2, 2 * reach).double(), second], dim=2)
    cond = torch.cat([conds[0], 9.0 * torch.randn(1, 4, reach).double(), conds[1]], dim=2)
    packed = stack(x, cond, torch.arange(10, 10 + 2 * reach))
    torch.testing.assert_close(packed[:, :, :10], stack(first, conds[0]))
    torch.testing.assert_close(packed[:, :, 10 + 2 * reach :], stack(second, conds[1]))
    assert not torch.allclose(stack(x, cond)[:, :, -14:], packed[:, :, -14:])
