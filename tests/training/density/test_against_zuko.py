"""zuko, an independent library of flows, gives the same densities, noise and samples with the same weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import zuko
from tiny_models import stirred
from torch import Tensor, nn

from training.density.autoregressive import Autoregressive
from training.density.flows import DensityConfig
from training.density.model import DensityModel

pytestmark = pytest.mark.usefixtures("float64")

SIZE, FLOWS, UNITS = 6, 3, 10


def scaled(shift: Tensor, log_s: Tensor) -> torch.distributions.Transform:
    """The affine map with zuko's own soft clip left out, so that both use the plain exponential."""
    return torch.distributions.AffineTransform(shift, log_s.exp())


def ours(kind: str) -> DensityModel:
    config = DensityConfig(
        kind=kind,  # type: ignore[arg-type]
        channels=SIZE,
        flows=FLOWS,
        hidden=(UNITS, UNITS),
        whitening="none",
        log_s_bound=None,
    )
    return stirred(DensityModel(config), 0.3).eval()


def copy_dense(source: nn.ModuleList, target: nn.Sequential, rows: Tensor, columns: Tensor) -> None:
    """Copy the layers of an MLP; `columns` and `rows` say where zuko keeps our inputs and outputs."""
    layers = [layer for layer in target if hasattr(layer, "weight")]
    with torch.no_grad():
        for layer, own in zip(layers, source, strict=True):
            layer.weight.copy_(own.weight)
            layer.bias.copy_(own.bias)
        layers[0].weight.copy_(source[0].weight[:, columns])
        layers[-1].weight.copy_(source[-1].weight[rows])
        layers[-1].bias.copy_(source[-1].bias[rows])


def their_coupling(model: DensityModel, additive: bool) -> zuko.flows.Flow:
    """Our couplings keep the first half and then reverse all; zuko's keep what its mask marks and move nothing."""
    kind: dict[str, Any] = {"univariate": zuko.transforms.AdditiveTransform, "shapes": ((),)} if additive else {}
    kind = kind or {"univariate": scaled}
    place = torch.arange(SIZE)  # place[i]: which input channel stands at i before this flow
    transforms = []
    for i in range(FLOWS):
        half = SIZE // 2
        kept, changed = place[:half], place[half:]
        mask = torch.zeros(SIZE, dtype=torch.bool)
        mask[kept] = True
        transform = zuko.flows.GeneralCouplingTransform(
            SIZE, mask=mask, hidden_features=(UNITS, UNITS), activation=nn.ELU, **kind
        )
        by_channel = changed.argsort()
        outputs = by_channel if additive else torch.stack([by_channel, by_channel + half], dim=1).flatten()
        copy_dense(model.learned.flows[2 * i].network.layers, transform.hyper, outputs, kept.argsort())
        transforms.append(transform)
        place = place.flip(0)
    return zuko.flows.Flow(transforms, base())


def their_autoregressive(model: DensityModel) -> list[nn.Module]:
    """zuko's MAF reverses the order of its masks where ours reverses the channels."""
    transforms = []
    place = torch.arange(SIZE)
    for i in range(FLOWS):
        transform = zuko.flows.MaskedAutoregressiveTransform(
            SIZE, order=place.argsort(), hidden_features=(UNITS, UNITS), activation=nn.ELU, univariate=scaled
        )
        flow = model.learned.flows[2 * i]
        copy_masked(flow if isinstance(flow, Autoregressive) else flow.flow, transform.hyper, place)
        transforms.append(transform)
        place = place.flip(0)
    return transforms


def copy_masked(flow: Autoregressive, target: nn.Sequential, place: Tensor) -> None:
    """Put our masked weights into zuko's layers; both allot as many hidden units to each set of inputs."""
    own = [layer.weight * layer.mask for layer in flow.network.layers]
    theirs = [layer for layer in target if hasattr(layer, "weight")]
    columns = place.argsort()
    order = None
    with torch.no_grad():
        for i, layer in enumerate(theirs):
            last = i == len(theirs) - 1
            weight = own[i][:, columns] if i == 0 else own[i][:, order.argsort()]
            if last:
                rows = torch.stack([2 * columns, 2 * columns + 1], dim=1).flatten()
            else:
                order = degrees(theirs, i).argsort(stable=True)  # their units, sorted as ours are
                rows = order.argsort()
            assert not (weight[rows] != 0)[~layer.mask].any()  # zuko's masks allow all that ours allow
            layer.weight.copy_(weight[rows])
            layer.bias.copy_(flow.network.layers[i].bias[rows])


def degrees(layers: list[Any], index: int) -> Tensor:
    reach = layers[0].mask.double()
    for layer in layers[1 : index + 1]:
        reach = layer.mask.double() @ reach
    return (reach > 0).sum(dim=1)


def base() -> nn.Module:
    normal = zuko.distributions.DiagNormal
    return zuko.lazy.UnconditionalDistribution(normal, torch.zeros(SIZE), torch.ones(SIZE), buffer=True)


def assert_same(model: DensityModel, theirs: zuko.flows.Flow) -> None:
    x = torch.randn(7, SIZE)
    distribution = theirs()
    torch.testing.assert_close(model.log_prob(x[:, :, None]), distribution.log_prob(x))
    noise, log_det = model(x[:, :, None])
    undo = torch.arange(SIZE).flip(0) if FLOWS % 2 else torch.arange(SIZE)  # our last reversal, which theirs lacks
    expected, ladj = distribution.transform.call_and_ladj(x)
    torch.testing.assert_close(noise[:, undo, 0], expected)
    torch.testing.assert_close(log_det, ladj)
    z = torch.randn(7, SIZE)
    torch.testing.assert_close(model.inverse(z[:, undo, None])[0][:, :, 0], distribution.transform.inv(z))


@pytest.mark.parametrize("kind", ["nice", "realnvp"])
def test_couplings(kind):
    model = ours(kind)
    if kind == "nice":
        for parameter in model.learned.flows[-1].parameters():
            parameter.data.zero_()  # zuko has no scaling at the end
    assert_same(model, their_coupling(model, additive=kind == "nice"))


def test_maf():
    model = ours("maf")
    assert_same(model, zuko.flows.Flow(their_autoregressive(model), base()))


def test_iaf():
    """zuko's inverse autoregressive flow is the inverse of its autoregressive transform, flow by flow."""
    model = ours("iaf")
    transforms = [zuko.lazy.UnconditionalTransform(lambda t=t: t().inv) for t in their_autoregressive(model)]
    assert_same(model, zuko.flows.Flow(transforms, base()))


def test_a_graph():
    graph = torch.tensor([[0, 1, 0, 0, 1], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 0, 0], [0, 0, 0, 0, 0]]).bool()
    flow = stirred(Autoregressive(graph, (12, 12), log_s_bound=None), 0.4)
    theirs = zuko.flows.MaskedAutoregressiveTransform(
        5, adjacency=graph | torch.eye(5).bool(), hidden_features=(12, 12), activation=nn.ELU, univariate=scaled
    )
    z = torch.randn(3, 5)
    # the same parameters at every channel, whatever network made them: the map and its inverse must agree
    theirs.hyper = nn.Sequential(flow.network, nn.Flatten())
    x, log_det = flow.inverse(z[:, :, None])
    torch.testing.assert_close(theirs().inv(z), x[:, :, 0])
    torch.testing.assert_close(theirs().log_abs_det_jacobian(x[:, :, 0], z), -log_det)
    assert theirs.passes == len(flow.generations)
