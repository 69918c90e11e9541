"""Networks of density models: plain, masked by a graph, and over the pixels of a mel."""

from __future__ import annotations

from collections.abc import Generator
from itertools import pairwise
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["MLP", "MaskedMLP", "PixelNet"]


class MLP(nn.Module):
    """Map vectors (B, inputs, 1) and a condition (B, cond_channels, 1) to (B, outputs, 1); the last layer is zero.

    Args:
        inputs: channels.
        outputs: channels.
        hidden: units of the hidden layers.
        cond_channels: of the condition.
        activation: between the layers.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        hidden: tuple[int, ...],
        cond_channels: int = 0,
        activation: Literal["elu", "relu"] = "elu",
    ) -> None:
        super().__init__()
        self.activation = F.elu if activation == "elu" else F.relu
        sizes = (inputs + cond_channels, *hidden, outputs)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        nn.init.zeros_(self.layers[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.layers[-1].bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, cond: Tensor | None = None) -> Tensor:
        """Return (B, outputs, 1)."""
        h = x.flatten(1) if cond is None else torch.cat([x.flatten(1), cond.flatten(1)], dim=1)
        for layer in self.layers[:-1]:
            h = self.activation(layer(h))
        out: Tensor = self.layers[-1](h)
        return out[:, :, None]


class _MaskedLinear(nn.Linear):
    """A linear layer of which a fixed mask deletes weights."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask.to(torch.get_default_dtype()), persistent=False)

    def masked(self) -> Tensor:
        return self.weight * self.mask

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.masked(), self.bias)


class MaskedMLP(nn.Module):
    """Map inputs (B, C) to (B, C, outputs) such that the outputs of channel i see its parents alone.

    Each hidden unit belongs to one set of inputs, the parents of some channel; it may look at units whose sets lie
    within its own. For the chain of MAF these are the degrees of MADE. Units are stored in the order in which their
    sets become known when the inputs arrive one generation after another, so that `in_turn` computes every unit once:
    a pass in turn costs the arithmetic of one parallel pass.

    Args:
        parents: (C, C) booleans, rows in the order of the generations.
        sizes: of the generations, in their order.
        hidden: units of the hidden layers, at least one.
        outputs: for each channel.
        cond_channels: of the condition (B, cond_channels), which every channel may see.
    """

    def __init__(
        self, parents: Tensor, sizes: list[int], hidden: tuple[int, ...], outputs: int = 2, cond_channels: int = 0
    ) -> None:
        super().__init__()
        self.outputs = outputs
        self.sizes = sizes
        sets, known = _sets(parents, sizes, cond_channels > 0)
        owners = [((torch.arange(size) + 0.5) * len(sets) / size).long() for size in hidden]
        contained = (sets.float() @ (~sets).float().T) == 0  # (i, j): set i lies within set j
        masks = [sets[owners[0]]]
        for before, after in pairwise(owners):
            masks.append(contained.T[after][:, before])
        within = (sets.float() @ (~parents).float().T) == 0
        last = within.T[:, owners[-1]].repeat_interleave(outputs, dim=0)
        layers = [_MaskedLinear(mask) for mask in [*masks, last]]
        self.layers = nn.ModuleList(layers)
        self.condition = nn.Linear(cond_channels, hidden[0], bias=False) if cond_channels else None
        generations = range(len(sizes))
        self._ready = [[int((known[owner] <= g).sum()) for g in generations] for owner in owners]
        nn.init.zeros_(layers[-1].weight)
        nn.init.zeros_(layers[-1].bias)

    def forward(self, x: Tensor, cond: Tensor | None = None) -> Tensor:
        """Return (B, C, outputs) of inputs (B, C) and the condition (B, cond_channels)."""
        *hidden, last = self._linears()
        shift = self._conditioned(cond)
        h = hidden[0](x) if shift is None else hidden[0](x) + shift
        for layer in hidden[1:]:
            h = layer(F.elu(h))
        out: Tensor = last(F.elu(h))
        return out.reshape(len(x), -1, self.outputs)

    def in_turn(self, batch: int, cond: Tensor | None = None) -> Generator[Tensor, Tensor, None]:
        """Yield (B, size, outputs) of each generation; every `send` hands in the inputs (B, size) of the last one."""
        layers = self._linears()
        known = layers[0].weight.new_zeros(batch, 0)
        shift = self._conditioned(cond)
        units = [known for _ in self._ready]
        weights = [layer.masked() for layer in layers]
        biases = [layer.bias for layer in layers]
        for generation, size in enumerate(self.sizes):
            seen = known
            for i, ready in enumerate(self._ready):
                done, due = units[i].shape[1], ready[generation]
                if due > done:
                    h = F.linear(seen, weights[i][done:due, : seen.shape[1]], biases[i][done:due])
                    if i == 0 and shift is not None:
                        h = h + shift[:, done:due]
                    units[i] = torch.cat([units[i], F.elu(h)], dim=1)
                seen = units[i]
            rows = slice(known.shape[1] * self.outputs, (known.shape[1] + size) * self.outputs)
            out = F.linear(seen, weights[-1][rows, : seen.shape[1]], biases[-1][rows])
            given = yield out.reshape(batch, size, self.outputs)
            known = torch.cat([known, given], dim=1)

    def _linears(self) -> list[_MaskedLinear]:
        return [cast(_MaskedLinear, layer) for layer in self.layers]

    def _conditioned(self, cond: Tensor | None) -> Tensor | None:
        """Return what the condition (B, cond_channels) adds to the first hidden layer."""
        if (cond is None) != (self.condition is None):
            raise ValueError("this network needs a condition" if cond is None else "this network takes no condition")
        return None if self.condition is None else self.condition(cond)


def _sets(parents: Tensor, sizes: list[int], with_empty: bool) -> tuple[Tensor, Tensor]:
    """Return the distinct sets of parents (n, C), and the generation (n,) from which on each is known, ascending."""
    distinct = torch.unique(parents, dim=0)
    if not with_empty and len(distinct) > 1:
        distinct = distinct[distinct.any(dim=1)]
    generation = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    known = torch.where(distinct, generation + 1, 0).amax(dim=1)
    order = known.argsort(stable=True)
    return distinct[order], known[order]


class PixelNet(nn.Module):
    """Map images (B, inputs, H * W) to (B, outputs, H * W); the last layer is zero.

    A learned bias for each row lets the network know where it is: on patches of mels rows are frequencies.

    Args:
        inputs: channels.
        outputs: channels.
        size: (H, W).
        channels: of the hidden layers.
        blocks: residual blocks, each of a 3 x 3 and a 1 x 1 convolution.
    """

    def __init__(self, inputs: int, outputs: int, size: tuple[int, int], channels: int, blocks: int = 2) -> None:
        super().__init__()
        self.size = size
        self.start = nn.Conv2d(inputs, channels, 3, padding=1)
        self.place = nn.Parameter(0.1 * nn.init.normal_(self.start.weight.new_empty(channels, size[0], 1)))
        self.wide = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(blocks))
        self.narrow = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(blocks))
        self.end = nn.Conv2d(channels, outputs, 3, padding=1)
        nn.init.zeros_(self.end.weight)
        nn.init.zeros_(self.end.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, cond: Tensor | None = None) -> Tensor:
        """Return (B, outputs, H * W)."""
        h = self.start(x.reshape(*x.shape[:2], *self.size)) + self.place
        for wide, narrow in zip(self.wide, self.narrow, strict=True):
            h = h + narrow(F.elu(wide(F.elu(h))))
        out: Tensor = self.end(F.elu(h))
        return out.flatten(2)
