from __future__ import annotations

import pytest
import torch

from vocoder.flows.elementwise import ActNorm

pytestmark = pytest.mark.usefixtures("float64")


def data(seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(6, 3, 50, generator=generator)
    return x * torch.tensor([[0.01], [1.0], [30.0]]) + torch.tensor([[5.0], [0.0], [-7.0]])


def test_the_first_batch_comes_out_with_mean_0_and_deviation_1():
    z, log_det = ActNorm(3)(data())
    std, mean = torch.std_mean(z, dim=(0, 2), correction=0)
    torch.testing.assert_close(mean, torch.zeros(3), atol=1e-9, rtol=0)
    torch.testing.assert_close(std, torch.ones(3), atol=1e-3, rtol=0)
    expected = -50 * torch.log(data().std(dim=(0, 2), correction=0) + 1e-6).sum()
    torch.testing.assert_close(log_det, expected.expand(6))


def test_the_second_batch_changes_nothing():
    flow = ActNorm(3)
    flow(data())
    before = {name: value.clone() for name, value in flow.state_dict().items()}
    z, _ = flow(10 * data(1) + 3)
    assert all(torch.equal(value, before[name]) for name, value in flow.state_dict().items())
    assert z.std() > 5


def test_the_parameters_learn_from_the_first_batch_on():
    flow = ActNorm(3)
    flow(data())[0].square().mean().backward()
    assert flow.log_scale.grad is not None
    assert flow.log_scale.grad.abs().min() > 0


def test_a_loaded_flow_is_not_initialised_again():
    flow, loaded = ActNorm(3), ActNorm(3)
    expected, _ = flow(data())
    loaded.load_state_dict(flow.state_dict())
    assert bool(loaded.initialised)
    loaded(100 * data(1))
    torch.testing.assert_close(loaded(data())[0], expected)


def test_evaluation_does_not_initialise():
    flow = ActNorm(3).eval()
    z, log_det = flow(data())
    assert torch.equal(z, data())
    assert torch.equal(log_det, torch.zeros(6))
    assert not flow.initialised


def test_the_inverse_does_not_initialise():
    flow = ActNorm(3)
    x, _ = flow.inverse(data())
    assert torch.equal(x, data())
    assert not flow.initialised


def test_a_silent_channel_stays_finite():
    flow = ActNorm(3)
    z, log_det = flow(torch.zeros(2, 3, 4))
    assert torch.equal(z, torch.zeros(2, 3, 4))
    assert torch.isfinite(log_det).all()
