"""The autoregressive flow as a Bayes net: its graph is its Jacobian, and its generations are its sampling."""

from __future__ import annotations

import itertools

import pytest
import torch
from exactness import jacobian
from tiny_models import stirred

from training.density.autoregressive import Autoregressive, chain, generations, layered

pytestmark = pytest.mark.usefixtures("float64")

DAG = torch.tensor([[0, 1, 0, 0, 1], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 0, 0], [0, 0, 0, 0, 0]]).bool()


def random_dag(size: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(size, generator=generator)
    lower = (torch.rand(size, size, generator=generator) < 0.4).tril(-1)
    graph = torch.zeros(size, size, dtype=torch.bool)
    graph[order[:, None], order[None]] = lower
    return graph


@pytest.mark.parametrize("graph", [DAG, chain(4), random_dag(6, 1), random_dag(7, 2), torch.zeros(3, 3).bool()])
@pytest.mark.parametrize("hidden", [(40,), (30, 50), (3, 3)])
def test_the_jacobian_has_the_edges_of_the_graph(graph, hidden):
    flow = stirred(Autoregressive(graph, hidden), 0.5)
    found = jacobian(flow, torch.randn(len(graph), 1)) != 0
    assert not (found & ~(graph | torch.eye(len(graph)).bool())).any()
    assert found.diagonal().all()
    if min(hidden) >= 30:  # room for every set of parents: each edge is used
        assert torch.equal(found, graph | torch.eye(len(graph)).bool())


def test_generations_are_the_order_of_ancestral_sampling():
    assert generations(DAG) == [[1, 4], [0], [2], [3]]
    assert generations(chain(3)) == [[0], [1], [2]]
    assert generations(torch.zeros(3, 3)) == [[0, 1, 2]]
    for graph in (random_dag(8, seed) for seed in range(5)):
        position = {node: i for i, group in enumerate(generations(graph)) for node in group}
        assert all(position[int(parent)] < position[int(child)] for child, parent in graph.nonzero())
        assert sorted(position) == list(range(8))


def test_a_cycle_is_named():
    graph = torch.zeros(4, 4, dtype=torch.bool)
    graph[0, 1] = graph[1, 2] = graph[2, 0] = True
    with pytest.raises(ValueError, match=r"cycle.*: \d -> \d -> \d -> \d"):
        Autoregressive(graph)
    with pytest.raises(ValueError, match="cycle"):
        Autoregressive(torch.eye(2))
    with pytest.raises(ValueError, match="square"):
        Autoregressive(torch.zeros(2, 3))


def test_sampling_draws_each_channel_given_its_parents():
    """The conditional density of a channel moves when a parent moves, and with nothing else."""
    flow = stirred(Autoregressive(DAG, (40,)), 0.5)
    z = torch.randn(1, 5, 1)
    x, _ = flow.inverse(z)
    for channel, other in itertools.product(range(5), repeat=2):
        moved = x.clone()
        moved[0, other] += 1.0
        conditional = flow(moved)[0][0, channel] - flow(x)[0][0, channel]
        assert bool(conditional.abs() > 1e-6) == (channel == other or bool(DAG[channel, other]))


def test_the_chain_is_maf():
    """Every channel sees all before it: the same function from the graph and from its size."""
    torch.manual_seed(3)
    by_size = stirred(Autoregressive(5, (20,)))
    by_graph = Autoregressive(chain(5), (20,))
    by_graph.load_state_dict(by_size.state_dict())
    x = torch.randn(4, 5, 1)
    torch.testing.assert_close(by_graph(x), by_size(x), rtol=0, atol=0)
    matrix = jacobian(by_size, x[0])
    assert (matrix.tril() != 0).equal(torch.ones(5, 5).tril().bool())
    assert not matrix.triu(1).any()


def test_layers_of_a_graph_lie_between_a_coupling_and_the_chain():
    assert torch.equal(layered(5, 5), chain(5))
    assert generations(layered(6, 2)) == [[0, 1, 2], [3, 4, 5]]
    assert [len(g) for g in generations(layered(7, 3))] == [3, 2, 2]
    assert not layered(4, 1).any()
    for count in (0, 5):
        with pytest.raises(ValueError, match=f"4 channels have 1 to 4 generations, not {count}"):
            layered(4, count)


@pytest.mark.parametrize("graph", [chain(7), random_dag(7, 4)])
@pytest.mark.parametrize("hidden", [(5,), (30, 11), (64, 64, 64)])
def test_a_pass_in_turn_computes_what_a_parallel_pass_computes(graph, hidden):
    flow = stirred(Autoregressive(graph, hidden), 0.5)
    x = torch.randn(4, 7, 1)
    expected = flow.network(x[:, flow.order, 0])
    turns = flow.network.in_turn(4)
    out = [next(turns)]
    for piece in x[:, flow.order, 0].split(flow.network.sizes, dim=1)[:-1]:
        out.append(turns.send(piece))
    torch.testing.assert_close(torch.cat(out, dim=1), expected)
