"""What every bijection owes: two directions that undo each other, and the log-determinant of either."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from tiny_models import stirred, tiny_waveglow
from torch import Tensor

from vocoder.flows.base import Flow
from vocoder.flows.conv1x1 import InvertibleConv1x1
from vocoder.flows.coupling import AdditiveCoupling, AffineCoupling
from vocoder.flows.elementwise import ActNorm, ConditionalAffine, ElementwiseAffine
from vocoder.flows.lapped import LappedTransform
from vocoder.flows.rearrangement import Grouping
from vocoder.layers.stack import WaveNetConfig, WaveNetStack

pytestmark = pytest.mark.usefixtures("float64")

BATCH = 3


class Case(NamedTuple):
    """How to build a flow, and the shapes of one item of its data and its condition."""

    build: Callable[[], Flow]
    x: tuple[int, ...]
    cond: tuple[int, int] | None = None


def stack(kept: int, outputs: int, cond_channels: int = 2) -> WaveNetStack:
    return WaveNetStack(kept, outputs, cond_channels, WaveNetConfig(channels=3, dilations=(1, 2)))


CASES = {
    "grouping": Case(lambda: Grouping(3), (2, 12)),
    "lapped": Case(lambda: LappedTransform(6), (1, 24)),
    "lapped, one block": Case(lambda: LappedTransform(6), (1, 6)),
    "element-wise affine": Case(lambda: ElementwiseAffine(3), (3, 5)),
    "conditional affine": Case(lambda: ConditionalAffine(3, 2), (3, 5), (2, 5)),
    "conditional affine with floor": Case(lambda: ConditionalAffine(3, 2, 5, log_s_floor=-0.1), (3, 5), (2, 5)),
    "actnorm": Case(lambda: ActNorm(3), (3, 5)),
    "1x1 convolution": Case(lambda: InvertibleConv1x1(5), (5, 4)),
    "1x1 convolution with step scale": Case(lambda: InvertibleConv1x1(4, step_scale=0.1), (4, 3)),
    "vector": Case(lambda: InvertibleConv1x1(7), (7, 1)),
    "affine coupling": Case(lambda: AffineCoupling(stack(2, 4)), (4, 6), (2, 3)),
    "affine coupling, odd": Case(lambda: AffineCoupling(stack(3, 4, 0)), (5, 4)),
    "affine coupling, unbounded": Case(lambda: AffineCoupling(stack(2, 2), log_s_bound=None), (3, 4), (2, 4)),
    "additive coupling": Case(lambda: AdditiveCoupling(stack(3, 2)), (5, 4), (2, 2)),
    "waveglow, lapped": Case(lambda: tiny_waveglow("lapped"), (24,), (5, 3)),
    "waveglow, grouping": Case(lambda: tiny_waveglow("grouping"), (24,), (5, 3)),
}


def drawn(case: Case) -> tuple[Flow, Tensor, Tensor | None]:
    """Return the flow, moved away from its start, with data and condition."""
    flow = stirred(case.build()).eval()
    cond = None if case.cond is None else torch.randn(BATCH, *case.cond)
    return flow, torch.randn(BATCH, *case.x), cond


def log_abs_det(function: Callable[[Tensor], Tensor], value: Tensor) -> Tensor:
    jacobian = torch.autograd.functional.jacobian(function, value)
    return torch.linalg.slogdet(jacobian.reshape(value.numel(), value.numel()))[1]


def assert_log_det(direction: Callable[..., tuple[Tensor, Tensor]], value: Tensor, cond: Tensor | None) -> None:
    with torch.no_grad():
        _, log_det = direction(value, cond)
    assert log_det.shape == (BATCH,)
    for i in range(BATCH):
        item = None if cond is None else cond[i : i + 1]
        expected = log_abs_det(lambda v, item=item: direction(v[None], item)[0], value[i])
        torch.testing.assert_close(log_det[i], expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_noise_leads_back_to_the_data(name):
    flow, x, cond = drawn(CASES[name])
    z, log_det = flow(x, cond)
    again, inverse_log_det = flow.inverse(z, cond)
    torch.testing.assert_close(again, x, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(inverse_log_det, -log_det, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_data_leads_back_to_the_noise(name):
    flow, x, cond = drawn(CASES[name])
    z = torch.randn_like(flow(x, cond)[0])
    torch.testing.assert_close(flow(flow.inverse(z, cond)[0], cond)[0], z, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_log_det_of_forward_is_that_of_the_jacobian(name):
    flow, x, cond = drawn(CASES[name])
    assert_log_det(flow, x, cond)


@pytest.mark.parametrize("name", CASES)
def test_log_det_of_inverse_is_that_of_the_jacobian(name):
    flow, x, cond = drawn(CASES[name])
    assert_log_det(flow.inverse, torch.randn_like(flow(x, cond)[0]), cond)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.cond is not None])
def test_the_condition_matters(name):
    flow, x, cond = drawn(CASES[name])
    z, _ = flow(x, cond)
    moved, _ = flow(x, cond + torch.randn_like(cond))
    assert ((moved - z).abs().amax(dim=tuple(range(1, z.ndim))) > 1e-4).all()


@pytest.mark.parametrize("name", CASES)
def test_the_parameters_were_moved(name):
    case = CASES[name]
    torch.manual_seed(1)
    started = case.build().state_dict()
    torch.manual_seed(1)
    moved = drawn(case)[0].state_dict()
    parameters = dict(case.build().named_parameters())
    assert all(bool((started[key] != moved[key]).all()) for key in parameters)
