"""Handwritten digits of 8 x 8 pixels with 17 grey levels, dequantised (scikit-learn; Alpaydin and Kaynak, 1998)."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor

__all__ = ["LEVELS", "Digits"]

LEVELS = 17
SPLITS = {"train": slice(0, 1000), "validation": slice(1000, 1350), "test": slice(1350, None)}


class Digits:
    """Images (8, 8) with values in (0, 1): level plus uniform noise, over 17.

    A continuous density of them bounds the probability of the levels: -log P >= -log p - 64 log 17 on average, which is
    why bits per dimension are (nats per dimension + log 17) / log 2. The digits come ordered by writer, so that the
    test split has writers that training has not.

    Args:
        split: the first 1000 images, the next 350, or the last 447.
        seed: of the noise, a function of (seed, epoch, index) alone.
    """

    levels = LEVELS

    def __init__(self, split: Literal["train", "validation", "test"], seed: int = 0) -> None:
        self.images = load_digits().images[SPLITS[split]]
        self.seed = seed
        self.set_epoch(0)

    def __len__(self) -> int:
        return len(self.images)

    def set_epoch(self, epoch: int) -> None:
        """Draw the noise of an epoch."""
        noise = np.random.default_rng((self.seed, epoch)).random(self.images.shape)
        self.x = torch.from_numpy((self.images + noise) / LEVELS).float()

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"x": self.x[index]}
