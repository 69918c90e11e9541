"""A multi-layer perceptron over vectors, the network of couplings that know no order of channels."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["MLP"]


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
