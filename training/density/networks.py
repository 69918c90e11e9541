"""Networks of density models: plain, masked by a graph, and convolutional."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class MLP(nn.Module):
    """Map vectors (B, inputs, 1) to (B, outputs, 1), with ELU between layers; the last layer starts at zero."""

    def __init__(self, inputs: int, outputs: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise((inputs, *hidden, outputs)))
        nn.init.zeros_(self.layers[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.layers[-1].bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, cond: Tensor | None = None) -> Tensor:
        """Return (B, outputs, 1)."""
        h = x.flatten(1)
        for layer in self.layers[:-1]:
            h = F.elu(layer(h))
        out: Tensor = self.layers[-1](h)
        return out[:, :, None]


class _MaskedLinear(nn.Linear):
    """A linear layer with a fixed mask on its weights."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask.to(torch.get_default_dtype()), persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight * self.mask, self.bias)


class MaskedMLP(nn.Module):
    """Map inputs (B, C) to (B, C, 2) such that the outputs of channel i depend only on its parents.

    Each hidden unit belongs to a set of inputs, the parents of some channel, and may use units whose sets are subsets
    of its own. For the chain of MAF, these sets are the degrees of MADE (Germain et al., 2015).

    Row i of `parents` (C, C) marks the parents of channel i. Every channel may see the condition (B, cond_channels).
    """

    def __init__(self, parents: Tensor, hidden: tuple[int, ...], cond_channels: int) -> None:
        super().__init__()
        sets = torch.unique(parents, dim=0)
        if not cond_channels and len(sets) > 1:
            sets = sets[sets.any(dim=1)]
        owned = [sets[((torch.arange(size) + 0.5) * len(sets) / size).long()] for size in hidden]
        masks = [owned[0], *(_within(before, after) for before, after in pairwise(owned))]
        masks.append(_within(owned[-1], parents).repeat_interleave(2, dim=0))
        self.layers = nn.ModuleList(_MaskedLinear(mask) for mask in masks)
        self.condition = nn.Linear(cond_channels, hidden[0], bias=False) if cond_channels else None
        nn.init.zeros_(self.layers[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.layers[-1].bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, cond: Tensor | None = None) -> Tensor:
        """Return (B, C, 2) of inputs (B, C) and the condition (B, cond_channels)."""
        h: Tensor = self.layers[0](x)
        if self.condition is not None:
            h = h + self.condition(cond)
        for layer in self.layers[1:]:
            h = layer(F.elu(h))
        return h.reshape(len(x), -1, 2)


def _within(inner: Tensor, outer: Tensor) -> Tensor:
    """Return (m, n): whether set j of `inner` (n, C) is a subset of set i of `outer` (m, C)."""
    return ((~outer).float() @ inner.float().T) == 0


class PixelNet(nn.Module):
    """Map images (B, inputs, H * W) to (B, outputs, H * W); the last layer starts at zero.

    A learned bias per row tells the network the position: on mel patches, rows are frequencies.
    """

    def __init__(self, inputs: int, outputs: int, size: tuple[int, int], hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.size, channels, blocks = size, hidden[0], len(hidden)
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
