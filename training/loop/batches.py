"""Global batches in a reproducible order, of which each process takes its share."""

import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from training.loop.objective import Batch
from vocoder.config import ConfigError


class EpochDataset(Protocol):
    """A map-style dataset of dictionaries of tensors and numbers, which depend only on (epoch, index)."""

    def __len__(self) -> int:
        """Return the number of items in an epoch."""

    def __getitem__(self, key: tuple[int, int], /) -> Mapping[str, Any]:
        """Return one item."""


class FixedItems:
    """The rows of tensors (N, ...) by name, the same in every epoch."""

    def __init__(self, **tensors: Tensor) -> None:
        self.tensors = tensors

    def __len__(self) -> int:
        return min(map(len, self.tensors.values()))

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        return {name: rows[key[1]] for name, rows in self.tensors.items()}


@dataclass(frozen=True)
class BatchPlan:
    """Assigns items to batches: a new permutation every epoch, split into global batches, split into shares.

    Raises ConfigError if the batch cannot be split among the processes, or there are fewer items than in a batch.
    """

    length: int
    batch_size: int
    processes: int
    rank: int
    seed: int
    parts: int = 1

    def __post_init__(self) -> None:
        """Check that every step is a full batch in equal shares, and each share in equal parts."""
        if self.batch_size % (self.processes * self.parts):
            raise ConfigError(
                f"batch_size {self.batch_size} must be a multiple of processes times accumulation, "
                f"{self.processes} x {self.parts}"
            )
        if self.length < self.batch_size:
            raise ConfigError(f"the training set has {self.length} items, fewer than batch_size {self.batch_size}")

    def epoch(self, epoch: int, first: int = 0) -> list[list[tuple[int, int]]]:
        """Return (epoch, index) of this process's items in each whole global batch of an epoch from batch `first`."""
        batches = self.length // self.batch_size
        order = np.random.default_rng((self.seed, epoch)).permutation(self.length)[: batches * self.batch_size]
        shares: list[list[int]] = order.reshape(batches, self.processes, -1)[first:, self.rank].tolist()
        return [[(epoch, index) for index in share] for share in shares]


def loaded(
    dataset: EpochDataset, batches: list[list[tuple[int, int]]], workers: int, device: torch.device
) -> Iterator[Batch]:
    """Yield batches, given by (epoch, index) of their items, on `device`."""
    loader: DataLoader[Batch] = DataLoader(
        dataset,  # type: ignore[arg-type]
        batch_sampler=batches,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        worker_init_fn=_ignore_interruptions,
        generator=torch.Generator().manual_seed(0),  # otherwise each loader would advance the global random state
    )
    for batch in loader:
        yield {name: value.to(device, non_blocking=True) for name, value in batch.items()}


def _ignore_interruptions(worker: int) -> None:
    # Ctrl-C reaches the whole process group; the training process decides when its loaders stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
