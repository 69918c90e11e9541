"""Global batches in a reproducible order, of which each process takes its share."""

import signal
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from training.loop.objective import Batch
from training.loop.trainer_config import TrainerConfig


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


def epoch_batches(
    config: TrainerConfig, length: int, epoch: int, first: int = 0, processes: int = 1, rank: int = 0
) -> list[list[tuple[int, int]]]:
    """Return (epoch, index) of a process's items in each batch of an epoch from batch `first`.

    An epoch is a new permutation of all `length` items, split into whole global batches, split into equal shares.
    """
    batches = length // config.batch_size
    order = np.random.default_rng((config.seed, epoch)).permutation(length)[: batches * config.batch_size]
    shares: list[list[int]] = order.reshape(batches, processes, -1)[first:, rank].tolist()
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
