"""Properties of single flows beyond those that test_contract checks for all."""

import math

import pytest
import torch
from tiny_models import perturbed

from vocoder.flows.affine import ActNorm, ConditionalAffine
from vocoder.flows.conv1x1 import InvertibleConv1x1
from vocoder.flows.coupling import AffineCoupling
from vocoder.flows.lapped import LappedTransform
from vocoder.flows.minimum_phase import MinimumPhaseFilter
from vocoder.layers.stack.wavenet import WaveNetConfig, WaveNetStack, set_compute_dtype

pytestmark = pytest.mark.usefixtures("float64")


def conv_with_kept_inverse(step_scale=1.0):
    """Return a frozen convolution that has already stored its inverse."""
    conv = perturbed(InvertibleConv1x1(6, step_scale=step_scale)).requires_grad_(False)
    conv.inverse(torch.zeros(1, 6, 1))
    assert conv._kept._made is not None
    return conv


@torch.no_grad()
def assert_inverse_is_correct(conv, tolerance=1e-9):
    z = torch.randn(2, 6, 5, dtype=conv.weight.dtype)
    x, log_det = conv.inverse(z)
    torch.testing.assert_close(conv(x)[0], z, atol=tolerance, rtol=0)
    expected = -5 * torch.linalg.slogdet(conv.matrix())[1]
    torch.testing.assert_close(log_det, expected.expand(2), atol=tolerance, rtol=0)


@pytest.mark.parametrize("arguments", [{"foreach": False}, {"foreach": True}, {"fused": True}], ids=str)
def test_an_optimiser_step_discards_the_stored_inverse(arguments):
    conv = conv_with_kept_inverse(0.1).requires_grad_(True)
    optimiser = torch.optim.AdamW(conv.parameters(), lr=0.3, **arguments)
    conv(torch.randn(1, 6, 5))[0].square().sum().backward()
    before = conv.matrix().detach().clone()
    optimiser.step()
    assert (conv.matrix() - before).abs().max() > 0.01
    assert_inverse_is_correct(conv.requires_grad_(False))


def test_stored_inverses_follow_the_weights_and_pass_gradients():
    conv = conv_with_kept_inverse()
    conv.load_state_dict(conv_with_kept_inverse().state_dict())
    assert_inverse_is_correct(conv)
    assert_inverse_is_correct(conv.to(torch.float32), 1e-4)
    assert_inverse_is_correct(conv.to(torch.float64))
    assert_inverse_is_correct(conv.bfloat16().double())  # the first weight's memory can be reused
    conv = perturbed(InvertibleConv1x1(6)).requires_grad_(False)
    with torch.inference_mode():
        conv.inverse(torch.randn(1, 6, 3))
    z = torch.randn(1, 6, 3, requires_grad=True)
    conv.inverse(z)[0].sum().backward()
    expected = torch.linalg.inv(conv.matrix()).sum(dim=0)
    torch.testing.assert_close(z.grad, expected[None, :, None].expand(1, 6, 3))


class InverseConv1x1(InvertibleConv1x1):
    forward = InvertibleConv1x1.inverse


def test_gradients_pass_through_the_inverse():
    conv = perturbed(InverseConv1x1(4))
    z = torch.randn(2, 4, 3)

    def inverse(weight):
        x, log_det = torch.func.functional_call(conv, {"weight": weight}, (z,))
        return x.square().sum() + log_det.sum()

    conv.requires_grad_(False).inverse(z)  # stored, but must not be used for other weights
    assert torch.autograd.gradcheck(inverse, conv.weight.detach().clone().requires_grad_())


def test_the_affine_step_stays_exact_with_a_network_in_bfloat16():
    network = perturbed(WaveNetStack(3, 6, 0, WaveNetConfig(channels=8, dilations=(1, 2))))
    set_compute_dtype(network, torch.bfloat16)
    coupling, x = AffineCoupling(network), torch.randn(2, 6, 8)
    z, log_det = coupling(x)
    assert z.dtype == log_det.dtype == torch.float64
    torch.testing.assert_close(coupling.inverse(z)[0], x, atol=1e-12, rtol=0)


def test_the_floor_is_a_soft_lower_bound_of_the_log_scale():
    flow = ConditionalAffine(1, 1, log_s_floor=-9.0)
    flow.set_log_scale(torch.tensor([[[0.0, 1.0, 0.0]]]), torch.zeros(1))
    log_s = flow.inverse(torch.ones(1, 1, 4), torch.tensor([[[-50.0, -9.0, -8.0, 0.0]]]))[0].log().flatten()
    assert (log_s > -9.0 - 1e-12).all()
    torch.testing.assert_close(log_s[[0, 3]], torch.tensor([-9.0, 0.0]), atol=2e-4, rtol=0)


def data(seed=0):
    x = torch.randn(6, 3, 50, generator=torch.Generator().manual_seed(seed))
    return x * torch.tensor([[0.01], [1.0], [30.0]]) + torch.tensor([[5.0], [0.0], [-7.0]])


def test_actnorm_is_initialised_by_the_first_training_batch_only():
    flow, loaded = ActNorm(3), ActNorm(3)
    assert torch.equal(flow.inverse(data())[0], data())
    assert torch.equal(flow.eval()(data())[0], data())
    assert not flow.initialised
    z, log_det = flow.train()(data())
    std, mean = torch.std_mean(z, dim=(0, 2), correction=0)
    torch.testing.assert_close(mean, torch.zeros(3), atol=1e-9, rtol=0)
    torch.testing.assert_close(std, torch.ones(3), atol=1e-3, rtol=0)
    expected = -50 * torch.log(data().std(dim=(0, 2), correction=0) + 1e-6).sum()
    torch.testing.assert_close(log_det, expected.expand(6))
    z.square().mean().backward()
    assert flow.log_scale.grad.abs().min() > 0
    loaded.load_state_dict(flow.state_dict())
    for one in (flow, loaded):
        one(100 * data(1) + 3)
        torch.testing.assert_close(one(data())[0], z)


@pytest.mark.parametrize("hop", [2, 8, 32])
def test_inner_frames_equal_windowed_cosine_sums(hop):
    x = torch.randn(3, 1, 6 * hop)
    z, _ = LappedTransform(hop)(x)
    n = torch.arange(2 * hop)
    window = torch.sin(math.pi / (2 * hop) * (n + 0.5))
    position = n - hop // 2 + 0.5
    basis = math.sqrt(2 / hop) * torch.cos(math.pi / hop * position[:, None] * (torch.arange(hop) + 0.5))
    for frame in range(1, 5):
        start = hop * frame - hop // 2
        expected = (window * x[:, 0, start : start + 2 * hop]) @ basis
        torch.testing.assert_close(z[:, :, frame], expected, atol=1e-12, rtol=0)


def test_invalid_lengths_and_hops_are_rejected():
    for hop, message in ((8, "multiple of the hop 8, not 20"), (7, "positive, not 7"), (0, "positive, not 0")):
        with pytest.raises(ValueError, match=message):
            LappedTransform(hop)(torch.zeros(1, 1, 20))


TAPS, HOP = 16, 8


def test_the_minimum_phase_filter_equals_a_sample_by_sample_one():
    flow, z, cond = MinimumPhaseFilter(3, TAPS, HOP, -9.0), torch.randn(1, 1, 4 * HOP), torch.randn(1, 3, 4)
    flow.requires_grad_(False).set_log_scale(0.5 * torch.randn(flow.bands, 3, 3), torch.randn(flow.bands))
    responses = flow.responses(cond)[0]
    x, _ = flow.inverse(z, cond)
    for n in (0, 5, 17, 31):
        frame, part = divmod(n, HOP)
        h = torch.lerp(responses[frame], responses[frame + 1], part / HOP)
        expected = sum(h[k] * z[0, 0, n - k] for k in range(min(TAPS, n + 1)))
        assert float(x[0, 0, n]) == pytest.approx(float(expected), abs=1e-12)


def test_the_response_has_the_amplitudes_of_the_bands_and_minimum_phase():
    """The taps can represent this envelope. Minimum phase: all zeros lie inside the unit circle."""
    flow = MinimumPhaseFilter(1, 64, 64).requires_grad_(False)
    bands = torch.arange(flow.bands) * math.pi / (flow.bands - 1)
    log_amplitude = 0.8 * torch.cos(bands) - 0.5 * torch.cos(3 * bands) - 2.0
    flow.set_log_scale(torch.zeros(flow.bands, 1, 3), log_amplitude)
    h = flow.responses(torch.zeros(1, 1, 1))[0, 0]
    torch.testing.assert_close(torch.fft.rfft(h).abs().log(), log_amplitude, rtol=0, atol=1e-9)
    assert float(h[0]) == pytest.approx(math.exp(-2.0), rel=1e-12)
    companion = torch.diag(torch.ones(30), -1)
    companion[0] = -h[1:32] / h[0]
    assert float(torch.linalg.eigvals(companion).abs().max()) < 1.0
