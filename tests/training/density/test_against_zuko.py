"""The independent library zuko gives the same densities, noise and samples with the same networks."""

import pytest
import torch
import zuko
from tiny_models import perturbed
from torch import nn
from torch.distributions import AffineTransform

from training.density.autoregressive import Autoregressive
from training.density.composition import Inverse
from training.density.flows import DensityConfig
from training.density.mixing import Permutation
from training.density.model import DensityModel
from vocoder.flows.affine import ElementwiseAffine
from vocoder.flows.coupling import AffineCoupling

pytestmark = pytest.mark.usefixtures("float64")

SIZE = 6


def scaled(shift, log_s):
    """Return an affine map without zuko's soft clipping, so that both use the plain exponential."""
    return AffineTransform(shift, log_s.exp())


class Numbers(nn.Module):
    """The network of a coupling as zuko calls it, with the parameters of a channel next to each other."""

    def __init__(self, coupling):
        super().__init__()
        self.network, self.count = coupling.network, 1 if coupling.additive else 2

    def forward(self, x):
        return self.network(x[..., None]).reshape(len(x), self.count, -1).transpose(1, 2).flatten(1)


def zuko_masked(flow, adjacency=None):
    made = zuko.flows.MaskedAutoregressiveTransform(flow.channels, adjacency=adjacency, univariate=scaled)
    made.hyper = nn.Sequential(flow.network, nn.Flatten())
    return made


def zuko_flow(flow):
    """Return zuko's equivalent of one of our flows, with the same network."""
    if isinstance(flow, Autoregressive):
        return zuko_masked(flow)
    if isinstance(flow, AffineCoupling):
        kind = {"univariate": zuko.transforms.AdditiveTransform, "shapes": ((),)}
        kind = kind if flow.additive else {"univariate": scaled}
        made = zuko.flows.GeneralCouplingTransform(SIZE, mask=torch.arange(SIZE) < SIZE // 2, **kind)
        made.hyper = Numbers(flow)
        return made
    plain = zuko.lazy.UnconditionalTransform
    if isinstance(flow, Inverse):
        inner = zuko_flow(flow.flow)
        return plain(lambda: inner().inv)
    if isinstance(flow, ElementwiseAffine):
        scale = torch.exp(-flow.log_scale[:, 0])
        return plain(lambda: AffineTransform(-flow.t[:, 0] * scale, scale, event_dim=1))
    assert isinstance(flow, Permutation)
    return plain(lambda: zuko.transforms.PermutationTransform(flow.order))


@pytest.mark.parametrize("kind", ["nice", "realnvp", "maf", "iaf"])
def test_flows_equal_those_of_zuko(kind):
    config = DensityConfig(kind, SIZE, flows=3, hidden=(10, 10), whitening="none", log_s_bound=None)
    model = perturbed(DensityModel(config), 0.3).eval()
    normal = zuko.distributions.DiagNormal(torch.zeros(SIZE), torch.ones(SIZE))
    base = zuko.lazy.UnconditionalDistribution(lambda: normal)
    other = zuko.flows.Flow([zuko_flow(flow) for flow in model.learned.flows], base)()
    x, z = torch.randn(2, 7, SIZE)
    torch.testing.assert_close(model.log_prob(x[:, :, None]), other.log_prob(x))
    noise, log_det = model(x[:, :, None])
    torch.testing.assert_close((noise[:, :, 0], log_det), other.transform.call_and_ladj(x))
    torch.testing.assert_close(model.inverse(z[:, :, None])[0][:, :, 0], other.transform.inv(z))


def test_autoregressive_flows_over_a_graph_equal_those_of_zuko():
    graph = torch.tensor([[0, 1, 0, 0, 1], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 0, 0], [0, 0, 0, 0, 0]]).bool()
    flow, z = perturbed(Autoregressive(graph, (12, 12), log_s_bound=None), 0.4), torch.randn(3, 5)
    other = zuko_masked(flow, graph | torch.eye(5).bool())
    x, log_det = flow.inverse(z[:, :, None])
    torch.testing.assert_close(other().inv(z), x[:, :, 0])
    torch.testing.assert_close(other().log_abs_det_jacobian(x[:, :, 0], z), -log_det)
    assert other.passes == len(flow.generations)
