import pytest
import torch
from exactness import Case, assert_exact, jacobian
from tiny_models import perturbed

from training.density.autoregressive import Autoregressive, generations, layered
from training.density.composition import EarlyOutput, Inverse, Sequential
from training.density.curves import Logit, MixtureCDF
from training.density.flows import fit_gaussian
from training.density.images import MaskedCoupling, Squeeze, channel_mask, checkerboard
from training.density.mixing import PLUConv1x1
from training.density.networks import PixelNet
from vocoder.flows.affine import ElementwiseAffine, LowerAffine

pytestmark = pytest.mark.usefixtures("float64")

BATCH = 3


def net(inputs, outputs, height, width):
    return PixelNet(inputs, outputs, (height, width), hidden=(3,))


def two_scales():
    inner = [Squeeze(2, 2), MaskedCoupling(net(8, 16, 1, 1), channel_mask(8)), Inverse(Squeeze(2, 2))]
    return Sequential([Squeeze(4, 4), EarlyOutput(2, Sequential(inner)), Inverse(Squeeze(4, 4))])


DAG = torch.tensor([[0, 1, 0, 0, 1], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 0, 0], [0, 0, 0, 0, 0]]).bool()
CASES = {
    "PLU convolution": Case(lambda: PLUConv1x1(5), (5, 4)),
    "lower affine": Case(lambda: LowerAffine(4), (4, 3)),
    "mixture CDF": Case(lambda: MixtureCDF(3, 4), (3, 2)),
    "logit": Case(lambda: Logit(0.05), (3, 2)),
    "squeeze": Case(lambda: Squeeze(4, 2), (3, 8)),
    "checkerboard coupling": Case(lambda: MaskedCoupling(net(2, 4, 3, 4), checkerboard(3, 4)), (2, 12)),
    "channel coupling": Case(lambda: MaskedCoupling(net(3, 6, 2, 2), channel_mask(3, 1)), (3, 4)),
    "two scales": Case(two_scales, (1, 16)),
    "MAF": Case(lambda: Autoregressive(5, (9, 7)), (5, 1)),
    "MAF, conditional": Case(lambda: Autoregressive(4, (8, 8), cond_channels=2), (4, 1), (2, 1)),
    "IAF": Case(lambda: Inverse(Autoregressive(5, (9, 7))), (5, 1)),
    "IAF, conditional": Case(lambda: Inverse(Autoregressive(4, (8, 8), cond_channels=2)), (4, 1), (2, 1)),
    "DAG": Case(lambda: Autoregressive(DAG, (11, 6)), (5, 1)),
    "no edges": Case(lambda: Autoregressive(torch.zeros(4, 4), (5,)), (4, 1)),
}


@pytest.mark.parametrize("name", CASES)
def test_both_directions_are_exact_and_give_every_parameter_a_gradient(name):
    case = CASES[name]
    flow = perturbed(case.build(), 0.3).eval()
    cond = None if case.cond is None else torch.randn(BATCH, *case.cond)
    x = (torch.rand if name == "logit" else torch.randn)(BATCH, *case.x)
    assert_exact(flow, x, torch.randn_like(flow(x, cond)[0]), cond)
    for direction in (flow, flow.inverse) if list(flow.parameters()) and name != "no edges" else ():
        flow.zero_grad()
        out, log_det = direction(torch.randn(BATCH, *case.x), cond)
        (out.square().sum() + 0.3 * log_det.sum()).backward()
        assert [key for key, value in flow.named_parameters() if value.grad is None or not value.grad.any()] == []


def test_the_closed_form_is_the_gaussian_of_maximum_likelihood():
    x = torch.randn(200, 3, 2) @ torch.randn(2, 2) + torch.randn(3, 1) + torch.randn(200, 1, 2) * 2
    flow = LowerAffine(3)
    fit_gaussian(flow, x)
    rows = x.transpose(1, 2).flatten(0, 1)
    gaussian = torch.distributions.MultivariateNormal(rows.mean(0), torch.cov(rows.T, correction=0))
    z, log_det = flow(x)
    log_prob = log_det + torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(dim=(1, 2))
    torch.testing.assert_close(log_prob, gaussian.log_prob(x.transpose(1, 2)).sum(dim=1))
    (-log_prob.mean()).backward()  # the gradient is zero at the maximum
    assert max(float(p.grad.abs().max()) for p in flow.parameters()) < 1e-10
    for other in (LowerAffine(2), ElementwiseAffine(2)):
        with pytest.raises(ValueError, match="singular"):
            fit_gaussian(other, torch.cat([torch.randn(50, 1, 1), torch.ones(50, 1, 1)], dim=1))


def test_masks_squeezes_and_early_outputs_keep_the_right_channels():
    flow = perturbed(MaskedCoupling(net(1, 2, 4, 4), checkerboard(4, 4)), 0.5)
    x = torch.randn(2, 1, 16)
    z, _ = flow(x)
    kept = checkerboard(4, 4).bool()[0]
    assert torch.equal(z[:, :, kept], x[:, :, kept])
    assert (z[:, :, ~kept] != x[:, :, ~kept]).all()
    assert kept.reshape(4, 4)[0].tolist() == [True, False, True, False]
    z, _ = Squeeze(4, 4)(torch.arange(16.0).reshape(1, 1, 16))
    assert (z[0, :, 0].tolist(), z[0, :, 3].tolist()) == ([0, 1, 4, 5], [10, 11, 14, 15])
    x, rest = torch.randn(2, 5, 3), perturbed(LowerAffine(3))
    z, log_det = EarlyOutput(2, rest)(x)
    expected, expected_log_det = rest(x[:, 2:])
    assert torch.equal(z, torch.cat([x[:, :2], expected], dim=1))
    assert torch.equal(log_det, expected_log_det)


def random_dag(size, seed):
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(size, generator=generator)
    lower = (torch.rand(size, size, generator=generator) < 0.4).tril(-1)
    graph = torch.zeros(size, size, dtype=torch.bool)
    graph[order[:, None], order[None]] = lower
    return graph


@pytest.mark.parametrize("graph", [DAG, layered(4, 4), random_dag(6, 1), random_dag(7, 2), torch.zeros(3, 3).bool()])
@pytest.mark.parametrize("hidden", [(40,), (30, 50), (3, 3)])
def test_the_jacobian_has_the_edges_of_the_graph(graph, hidden):
    flow, edges = perturbed(Autoregressive(graph, hidden), 0.5), graph | torch.eye(len(graph)).bool()
    found = jacobian(flow, torch.randn(len(graph), 1)) != 0
    assert not (found & ~edges).any()
    assert found.diagonal().all()
    if min(hidden) >= 30:  # wide enough to use every edge
        assert torch.equal(found, edges)
    z = torch.randn(2, len(graph), 1)
    torch.testing.assert_close(flow(flow.inverse(z)[0])[0], z)


def test_generations_are_ordered_for_ancestral_sampling_and_cycles_rejected():
    assert (generations(DAG), generations(layered(3, 3))) == ([[1, 4], [0], [2], [3]], [[0], [1], [2]])
    assert (generations(layered(5, 2)), generations(torch.zeros(3, 3))) == ([[0, 1, 2], [3, 4]], [[0, 1, 2]])
    for graph in (random_dag(8, seed) for seed in range(5)):
        position = {node: i for i, group in enumerate(generations(graph)) for node in group}
        assert all(position[int(parent)] < position[int(child)] for child, parent in graph.nonzero())
        assert sorted(position) == list(range(8))
    graph = torch.zeros(4, 4, dtype=torch.bool)
    graph[0, 1] = graph[1, 2] = graph[2, 0] = True
    with pytest.raises(ValueError, match=r"cycle \d -> \d -> \d -> \d"):
        Autoregressive(graph, (5,))
    with pytest.raises(ValueError, match="square"):
        Autoregressive(torch.zeros(2, 3), (5,))
