import pytest
import torch
from tiny_models import stirred

from vocoder.flows.conv1x1 import InvertibleConv1x1

pytestmark = pytest.mark.usefixtures("float64")


def used(step_scale=1.0):
    """Return a frozen convolution that has already kept its inverse."""
    conv = stirred(InvertibleConv1x1(6, step_scale=step_scale)).requires_grad_(False)
    conv.inverse(torch.zeros(1, 6, 1))
    assert conv._kept._made is not None
    return conv


@torch.no_grad()
def assert_inverse_is_true(conv, tolerance=1e-9):
    dtype = conv.weight.dtype
    z = torch.randn(2, 6, 5, dtype=dtype)
    x, log_det = conv.inverse(z)
    torch.testing.assert_close(conv(x)[0], z, atol=tolerance, rtol=0)
    expected = -5 * torch.linalg.slogdet(conv.matrix())[1]
    torch.testing.assert_close(log_det, expected.expand(2), atol=tolerance, rtol=0)


@pytest.mark.parametrize("arguments", [{"foreach": False}, {"foreach": True}, {"fused": True}], ids=str)
def test_an_optimiser_step_drops_the_kept_inverse(arguments):
    conv = used(0.1).requires_grad_(True)
    optimiser = torch.optim.AdamW(conv.parameters(), lr=0.3, **arguments)
    conv(torch.randn(1, 6, 5))[0].square().sum().backward()
    before = conv.matrix().detach().clone()
    optimiser.step()
    assert (conv.matrix() - before).abs().max() > 0.01
    assert_inverse_is_true(conv.requires_grad_(False))


def test_what_changes_the_weight_drops_the_kept_inverse():
    conv = used()
    conv.load_state_dict(used().state_dict())
    assert_inverse_is_true(conv)
    assert_inverse_is_true(conv.to(torch.float32), 1e-4)
    assert_inverse_is_true(conv.to(torch.float64))
    assert_inverse_is_true(conv.bfloat16().double())  # the memory of the first weight is free again


def test_an_inverse_kept_in_inference_mode_serves_gradients_later():
    conv = stirred(InvertibleConv1x1(6)).requires_grad_(False)
    with torch.inference_mode():
        conv.inverse(torch.randn(1, 6, 3))
    z = torch.randn(1, 6, 3, requires_grad=True)
    conv.inverse(z)[0].sum().backward()
    expected = torch.linalg.inv(conv.matrix()).sum(dim=0)
    torch.testing.assert_close(z.grad, expected[None, :, None].expand(1, 6, 3))


class InverseConv1x1(InvertibleConv1x1):
    forward = InvertibleConv1x1.inverse


def test_gradients_pass_through_the_inverse():
    conv = stirred(InverseConv1x1(4))
    z = torch.randn(2, 4, 3)

    def inverse(weight):
        x, log_det = torch.func.functional_call(conv, {"weight": weight}, (z,))
        return x.square().sum() + log_det.sum()

    conv.requires_grad_(False).inverse(z)  # kept, and not taken for another weight
    assert torch.autograd.gradcheck(inverse, conv.weight.detach().clone().requires_grad_())
