"""Directed acyclic graphs over channels: who may depend on whom (a Bayes net's structure)."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

import torch
from torch import Tensor

__all__ = ["chain", "generations", "layered"]


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
