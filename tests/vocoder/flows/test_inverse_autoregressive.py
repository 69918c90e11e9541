from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vocoder.flows.inverse_autoregressive import InverseAutoregressive
from vocoder.layers.stack import WaveNetConfig, WaveNetStack

SHAPES = {"samples": (1, 0), "frames": (4, 0), "frames with kept channels": (5, 3), "scaled shift": (4, 2)}

pytestmark = pytest.mark.usefixtures("float64")


def flow(channels: int, kept: int) -> InverseAutoregressive:
    config = WaveNetConfig(6, (1, 2), 2, causal=True)
    network = WaveNetStack(channels + kept, 2 * (channels - kept), 3, config)
    torch.nn.init.normal_(network.end.weight, std=0.5)
    return InverseAutoregressive(network, channels, kept, scaled_shift=(channels, kept) == (4, 2))


@pytest.mark.parametrize("name", SHAPES)
def test_round_trip(name):
    channels, kept = SHAPES[name]
    step, z, cond = flow(channels, kept), torch.randn(2, channels, 12), torch.randn(2, 3, 4)
    x, log_det = step.inverse(z, cond)
    back, back_log_det = step(x, cond)
    torch.testing.assert_close(back, z, rtol=0, atol=1e-11)
    torch.testing.assert_close(back_log_det, -log_det, rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", SHAPES)
def test_log_det_is_that_of_the_jacobian(name):
    channels, kept = SHAPES[name]
    step, z, cond = flow(channels, kept), torch.randn(1, channels, 8), torch.randn(1, 3, 4)
    jacobian = torch.autograd.functional.jacobian(lambda value: step.inverse(value, cond)[0], z)
    assert isinstance(jacobian, Tensor)
    expected = torch.linalg.slogdet(jacobian.reshape(8 * channels, 8 * channels))[1]
    torch.testing.assert_close(step.inverse(z, cond)[1][0], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", SHAPES)
def test_no_step_depends_on_later_noise(name):
    channels, kept = SHAPES[name]
    step, z, cond = flow(channels, kept), torch.randn(1, channels, 12), torch.randn(1, 3, 4)
    changed = z.clone()
    changed[:, :, 7:] += 1.0
    t, log_s = step.shift_and_log_scale(z, cond)
    t_changed, log_s_changed = step.shift_and_log_scale(changed, cond)
    until = 7 if kept else 8  # what is kept of a step is seen by the others of the same step
    torch.testing.assert_close(t_changed[:, :, :until], t[:, :, :until], rtol=0, atol=0)
    torch.testing.assert_close(log_s_changed[:, :, :until], log_s[:, :, :until], rtol=0, atol=0)
    assert not torch.allclose(t_changed[:, :, 8:], t[:, :, 8:])


def test_starts_as_the_identity():
    network = WaveNetStack(1, 2, 0, WaveNetConfig(6, (1, 2), 2, causal=True))
    z = torch.randn(2, 1, 9)
    x, log_det = InverseAutoregressive(network, 1).inverse(z)
    assert torch.equal(x, z)
    assert torch.equal(log_det, torch.zeros(2))


def test_refusals():
    with pytest.raises(ValueError, match="causal"):
        InverseAutoregressive(WaveNetStack(1, 2, 0, WaveNetConfig(4, (1,), 3)), 1)
    network = WaveNetStack(4, 0 + 2, 0, WaveNetConfig(4, (1,), 2, causal=True))
    with pytest.raises(ValueError, match="from 0 to 1 of 2"):
        InverseAutoregressive(network, 2, kept=2)
