"""Points of a toy distribution as training items."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from training.items.toys import Toy

__all__ = ["Points"]


class Points:
    """Fresh points (2, 1) of a toy in every epoch, a function of (seed, epoch, index) alone.

    Args:
        toy: what to draw from.
        count: points in an epoch.
        seed: of the draws; another one draws others.
    """

    levels = 0

    def __init__(self, toy: Toy, count: int, seed: int) -> None:
        self.toy = toy
        self.count = count
        self.seed = seed
        self.set_epoch(0)

    def __len__(self) -> int:
        return self.count

    def set_epoch(self, epoch: int) -> None:
        """Draw the points of an epoch."""
        rng = np.random.default_rng((self.seed, epoch))
        self.points = torch.from_numpy(self.toy.sample(self.count, rng)).float()[:, :, None]

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"x": self.points[index]}
