"""Masked autoregressive flows over directed acyclic graphs (Papamakarios et al., 2017; Wehenkel and Louppe, 2021)."""

from graphlib import CycleError, TopologicalSorter

import torch
from torch import Tensor

from training.density.networks import MaskedMLP
from vocoder.flows.base import Flow
from vocoder.flows.coupling import soft_clip


def layered(channels: int, count: int) -> Tensor:
    """Return the adjacency (C, C) of `count` generations of nearly equal size, each dependent on all earlier ones.

    Two generations give the graph of a coupling; as many as channels give the chain, MAF's fully connected graph.
    """
    generation = torch.arange(channels) * count // channels
    return generation[:, None] > generation[None]


def generations(adjacency: Tensor) -> list[list[int]]:
    """Return the channels by generation, in the order of ancestral sampling: each depends only on earlier ones.

    Row i of `adjacency` (C, C) marks the parents of channel i. Raises ValueError if it is not square, or has a cycle.
    """
    if adjacency.dim() != 2 or adjacency.shape[0] != adjacency.shape[1]:
        raise ValueError(f"an adjacency matrix must be square, not {tuple(adjacency.shape)}")
    sorter = TopologicalSorter({i: row.nonzero().flatten().tolist() for i, row in enumerate(adjacency)})
    try:
        sorter.prepare()
    except CycleError as error:
        path = " -> ".join(str(node) for node in error.args[1])
        raise ValueError(f"the graph must be acyclic, but has the cycle {path}") from error
    found: list[list[int]] = []
    while sorter.is_active():
        found.append(sorted(sorter.get_ready()))
        sorter.done(*found[-1])
    return found


class Autoregressive(Flow):
    """Scale and shift each channel of a vector by functions of its parents: z_i = exp(log_s_i) x_i + t_i.

    (t_i, log_s_i) depend on the x of the parents of i. In the graph's order the Jacobian is triangular, so `log_det` =
    sum(log_s). Data to noise (`forward`) is one parallel pass of a masked network; noise to data (`inverse`) is
    ancestral sampling, one pass per generation of the graph (for the chain, per channel). Both have gradients.

    The chain gives MAF, no edges an element-wise flow, and edges from one half to the other a coupling. `Inverse` of
    this flow is IAF, whose sampling is parallel. `adjacency` is as for `generations`; an integer C means the chain. The
    condition is (B, cond_channels, 1); `log_s_bound` is the bound of the soft clip of `log_s`.
    """

    def __init__(
        self, adjacency: Tensor | int, hidden: tuple[int, ...], cond_channels: int = 0, log_s_bound: float | None = 2.0
    ) -> None:
        super().__init__()
        graph = layered(adjacency, adjacency) if isinstance(adjacency, int) else adjacency.bool()
        self.generations = generations(graph)
        self.network = MaskedMLP(graph, hidden, cond_channels)
        self.channels, self.log_s_bound = len(graph), log_s_bound

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map data (B, C, 1) to noise in one pass."""
        t, log_s = self._shift_and_log_scale(x, cond)
        return torch.exp(log_s) * x + t, log_s.sum(dim=(1, 2))

    def inverse(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map noise (B, C, 1) to data, one generation after another."""
        x = log_s = torch.zeros_like(z)
        for generation in self.generations:
            t, log_s = self._shift_and_log_scale(x, cond)
            rows = torch.tensor(generation, device=z.device)
            x = x.index_copy(1, rows, ((z - t) * torch.exp(-log_s))[:, rows])
        return x, -log_s.sum(dim=(1, 2))

    def _shift_and_log_scale(self, x: Tensor, cond: Tensor | None) -> tuple[Tensor, Tensor]:
        if x.dim() != 3 or x.shape[1:] != (self.channels, 1):
            raise ValueError(f"this autoregressive flow needs (B, {self.channels}, 1), not {tuple(x.shape)}")
        t, log_s = self.network(x[:, :, 0], None if cond is None else cond.flatten(1)).split(1, dim=2)
        return t, soft_clip(log_s, self.log_s_bound)
