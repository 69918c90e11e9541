"""Masked autoregressive flow over any directed acyclic graph (Papamakarios et al., 2017; Wehenkel and Louppe, 2021)."""

from graphlib import CycleError, TopologicalSorter

import torch
from torch import Tensor

from training.density.networks import MaskedMLP
from vocoder.flows.base import Flow
from vocoder.flows.coupling import soft_clip


def layered(channels: int, count: int) -> Tensor:
    """Return the adjacency (C, C) of `count` generations of nearly the same size, each dependent on all before it.

    Two generations are the graph of a coupling, as many as channels the chain, the fully connected graph of MAF.
    """
    generation = torch.arange(channels) * count // channels
    return generation[:, None] > generation[None]


def generations(adjacency: Tensor) -> list[list[int]]:
    """Return the channels in the order of ancestral sampling: a generation depends on earlier ones alone.

    Row i of `adjacency` (C, C) marks the parents of channel i. Raises ValueError if it is not square, or has a cycle.
    """
    if adjacency.dim() != 2 or adjacency.shape[0] != adjacency.shape[1]:
        raise ValueError(f"an adjacency matrix must be square, not {tuple(adjacency.shape)}")
    sorter = TopologicalSorter({i: row.nonzero().flatten().tolist() for i, row in enumerate(adjacency)})
    try:
        sorter.prepare()
    except CycleError as error:
        path = " -> ".join(str(node) for node in error.args[1])
        raise ValueError(f"the graph has a cycle, and no order to sample in: {path}") from error
    found: list[list[int]] = []
    while sorter.is_active():
        found.append(sorted(sorter.get_ready()))
        sorter.done(*found[-1])
    return found


class Autoregressive(Flow):
    """Scale and shift each channel of a vector by functions of its parents: z_i = exp(log_s_i) x_i + t_i.

    (t_i, log_s_i) see the x of the parents of i. In the order of the graph the Jacobian is triangular, so `log_det` =
    sum(log_s). Data to noise (`forward`) is one parallel pass of a masked network; noise to data (`inverse`) is
    ancestral sampling, one pass for each generation of the graph, for the chain each channel. Both have gradients.

    The chain is MAF; no edges at all, an element-wise flow; edges from one half to the other, a coupling; and
    `Inverse` of this flow is IAF, whose sampling is parallel. `adjacency` is as for `generations`, an integer C stands
    for the chain. The condition is (B, cond_channels, 1), and `log_s_bound` the bound of the soft clip of `log_s`.
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
            raise ValueError(f"an autoregressive flow of {self.channels} channels got {tuple(x.shape)}: give (B, C, 1)")
        t, log_s = self.network(x[:, :, 0], None if cond is None else cond.flatten(1)).split(1, dim=2)
        return t, soft_clip(log_s, self.log_s_bound)
