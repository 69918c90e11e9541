"""Masked autoregressive flow over any directed acyclic graph (Papamakarios et al., 2017; Wehenkel and Louppe, 2021)."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

import torch
from torch import Tensor

from training.density.networks import MaskedMLP
from vocoder.flows.base import Flow
from vocoder.flows.coupling import soft_clip

__all__ = ["Autoregressive", "chain", "generations", "layered"]


def chain(channels: int) -> Tensor:
    """Return the adjacency (C, C) in which each channel depends on all before it: the fully connected graph of MAF."""
    return torch.ones(channels, channels, dtype=torch.bool).tril(-1)


def layered(channels: int, count: int) -> Tensor:
    """Return the adjacency (C, C) of `count` generations of nearly the same size, each dependent on all before it.

    Two generations are the graph of a coupling, as many as channels the chain.

    Raises:
        ValueError: there are fewer channels than generations.
    """
    if not 1 <= count <= channels:
        raise ValueError(f"{channels} channels have 1 to {channels} generations, not {count}")
    generation = torch.arange(channels) * count // channels
    return generation[:, None] > generation[None]


def generations(adjacency: Tensor) -> list[list[int]]:
    """Return the channels in the order of ancestral sampling: a generation depends on earlier ones alone.

    Args:
        adjacency: (C, C) booleans; row i marks the parents of channel i.

    Raises:
        ValueError: it is not square, or has a cycle; the text names it.
    """
    if adjacency.dim() != 2 or adjacency.shape[0] != adjacency.shape[1]:
        raise ValueError(f"an adjacency matrix must be square, not {tuple(adjacency.shape)}")
    parents = {i: row.nonzero().flatten().tolist() for i, row in enumerate(adjacency)}
    sorter = TopologicalSorter(parents)
    try:
        sorter.prepare()
    except CycleError as error:
        path = " -> ".join(str(node) for node in error.args[1])
        raise ValueError(f"the graph has a cycle, and no order to sample in: {path}") from error
    found: list[list[int]] = []
    while sorter.is_active():
        generation = sorted(sorter.get_ready())
        sorter.done(*generation)
        found.append(generation)
    return found


class Autoregressive(Flow):
    """Scale and shift each channel of a vector by functions of its parents: z_i = exp(log_s_i) x_i + t_i.

    (t_i, log_s_i) see the x of the parents of i. In the order of the graph the Jacobian is triangular, so `log_det` =
    sum(log_s). Data to noise (`forward`) is one parallel pass of a masked network; noise to data (`inverse`) is
    ancestral sampling, one generation of the graph after another: as many steps as its longest path, which for the
    chain is all channels. Each hidden unit is computed once, so that the steps together cost the arithmetic of one
    pass. Both directions have gradients.

    The chain is MAF; no edges at all, an element-wise flow; edges from one half to the other, a coupling; and
    `Inverse` of this flow is IAF, whose sampling is parallel.

    Args:
        adjacency: (C, C) booleans; row i marks the parents of channel i. An integer C stands for the chain.
        hidden: units of the hidden layers.
        cond_channels: of the condition (B, cond_channels, 1).
        log_s_bound: the bound of the soft clip of `log_s`.

    Raises:
        ValueError: the graph has a cycle, or a signal is no vector.
    """

    order: Tensor

    def __init__(
        self,
        adjacency: Tensor | int,
        hidden: tuple[int, ...] = (128, 128),
        cond_channels: int = 0,
        log_s_bound: float | None = 2.0,
    ) -> None:
        super().__init__()
        graph = chain(adjacency) if isinstance(adjacency, int) else adjacency.bool()
        found = generations(graph)
        order = torch.tensor([channel for generation in found for channel in generation])
        self.register_buffer("order", order, persistent=False)
        self.network = MaskedMLP(graph[order][:, order], [len(g) for g in found], hidden, 2, cond_channels)
        self.log_s_bound = log_s_bound

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map data (B, C, 1) to noise in one pass."""
        sorted_x = self._vector(x)[:, self.order]
        t, log_s = self._split(self.network(sorted_x, _flat(cond)))
        z = torch.exp(log_s) * sorted_x + t
        return z[:, self.order.argsort(), None], log_s.sum(dim=1)

    def inverse(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map noise (B, C, 1) to data, one generation after another."""
        pieces = torch.split(self._vector(z)[:, self.order], self.network.sizes, dim=1)
        turns = self.network.in_turn(z.shape[0], _flat(cond))
        out, found, log_det = next(turns), [], z.new_zeros(z.shape[0])
        for i, piece in enumerate(pieces):
            t, log_s = self._split(out)
            found.append((piece - t) * torch.exp(-log_s))
            log_det = log_det - log_s.sum(dim=1)
            if i + 1 < len(pieces):
                out = turns.send(found[-1])
        x = torch.cat(found, dim=1)
        return x[:, self.order.argsort(), None], log_det

    def _split(self, out: Tensor) -> tuple[Tensor, Tensor]:
        t, log_s = out.unbind(2)
        return t, soft_clip(log_s, self.log_s_bound)

    def _vector(self, x: Tensor) -> Tensor:
        if x.dim() != 3 or x.shape[1:] != (len(self.order), 1):
            raise ValueError(
                f"an autoregressive flow of {len(self.order)} channels got {tuple(x.shape)}: give (B, C, 1)"
            )
        return x[:, :, 0]


def _flat(cond: Tensor | None) -> Tensor | None:
    return None if cond is None else cond.flatten(1)
