import pytest
import torch
from tiny_models import stirred

from vocoder.flows.affine import ActNorm, ConditionalAffine
from vocoder.flows.coupling import AffineCoupling
from vocoder.layers.stack.wavenet import WaveNetConfig, WaveNetStack, set_compute_dtype

pytestmark = pytest.mark.usefixtures("float64")


def test_a_network_in_bfloat16_leaves_the_affine_step_exact():
    network = stirred(WaveNetStack(3, 6, 0, WaveNetConfig(channels=8, dilations=(1, 2))))
    set_compute_dtype(network, torch.bfloat16)
    coupling, x = AffineCoupling(network), torch.randn(2, 6, 8)
    z, log_det = coupling(x)
    assert z.dtype == log_det.dtype == torch.float64
    torch.testing.assert_close(coupling.inverse(z)[0], x, atol=1e-12, rtol=0)


def test_the_floor_bounds_the_log_scale_softly_from_below():
    flow = ConditionalAffine(1, 1, log_s_floor=-9.0)
    flow.set_log_scale(torch.tensor([[[0.0, 1.0, 0.0]]]), torch.zeros(1))
    cond = torch.tensor([[[-50.0, -9.0, -8.0, 0.0]]])
    log_s = flow.inverse(torch.ones(1, 1, 4), cond)[0].log().flatten()
    assert (log_s > -9.0 - 1e-12).all()
    torch.testing.assert_close(log_s[[0, 3]], torch.tensor([-9.0, 0.0]), atol=2e-4, rtol=0)


def data(seed=0):
    x = torch.randn(6, 3, 50, generator=torch.Generator().manual_seed(seed))
    return x * torch.tensor([[0.01], [1.0], [30.0]]) + torch.tensor([[5.0], [0.0], [-7.0]])


def test_actnorm_starts_from_the_first_training_batch_and_from_no_other():
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
