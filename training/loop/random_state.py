"""The random states of a process as plain data: seeding, saving, restoring."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor


def seed_all(seed: int, rank: int = 0) -> None:
    """Seed python, numpy and torch; processes of different rank draw different numbers."""
    mixed = int(np.random.SeedSequence((seed, rank)).generate_state(1)[0])
    random.seed(mixed)
    np.random.seed(mixed)
    torch.manual_seed(mixed)


def capture() -> dict[str, Tensor]:
    """Return the states of torch, with the current CUDA device; losses draw from nothing else."""
    cuda = {"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else {}
    return {"torch": torch.get_rng_state(), **cuda}


def restore(state: dict[str, Tensor]) -> None:
    """Set the states that `capture` returned."""
    torch.set_rng_state(state["torch"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())


@contextmanager
def isolated(seed: int, rank: int = 0) -> Iterator[None]:
    """Run the `with` block from its own seed and leave the surrounding random states as they were."""
    kept = capture()
    torch.manual_seed(int(np.random.SeedSequence((seed, rank)).generate_state(1)[0]))
    try:
        yield
    finally:
        restore(kept)
