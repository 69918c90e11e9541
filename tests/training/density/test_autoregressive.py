"""The autoregressive flow as a Bayes net: its graph is its Jacobian, and its generations are its sampling."""

import pytest
import torch
from exactness import jacobian
from tiny_models import stirred

from training.density.autoregressive import Autoregressive, generations, layered

pytestmark = pytest.mark.usefixtures("float64")

DAG = torch.tensor([[0, 1, 0, 0, 1], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 0, 0], [0, 0, 0, 0, 0]]).bool()


def random_dag(size: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(size, generator=generator)
    lower = (torch.rand(size, size, generator=generator) < 0.4).tril(-1)
    graph = torch.zeros(size, size, dtype=torch.bool)
    graph[order[:, None], order[None]] = lower
    return graph


@pytest.mark.parametrize("graph", [DAG, layered(4, 4), random_dag(6, 1), random_dag(7, 2), torch.zeros(3, 3).bool()])
@pytest.mark.parametrize("hidden", [(40,), (30, 50), (3, 3)])
def test_the_jacobian_has_the_edges_of_the_graph_in_both_directions(graph, hidden):
    flow, edges = stirred(Autoregressive(graph, hidden), 0.5), graph | torch.eye(len(graph)).bool()
    found = jacobian(flow, torch.randn(len(graph), 1)) != 0
    assert not (found & ~edges).any()
    assert found.diagonal().all()
    if min(hidden) >= 30:  # room for every set of parents: each edge is used
        assert torch.equal(found, edges)
    z = torch.randn(2, len(graph), 1)
    torch.testing.assert_close(flow(flow.inverse(z)[0])[0], z)


def test_generations_are_the_order_of_ancestral_sampling():
    assert generations(DAG) == [[1, 4], [0], [2], [3]]
    assert generations(layered(3, 3)) == [[0], [1], [2]]
    assert generations(layered(5, 2)) == [[0, 1, 2], [3, 4]]
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
    with pytest.raises(ValueError, match="square"):
        Autoregressive(torch.zeros(2, 3))
