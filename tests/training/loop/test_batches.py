from __future__ import annotations

from itertools import chain, pairwise

import pytest
import torch
from toy_training import Tones

from training.loop.batches import BatchPlan, ordered_batches, training_batches


def plan(processes: int = 1, rank: int = 0, seed: int = 5) -> BatchPlan:
    return BatchPlan(length=26, batch_size=4, processes=processes, rank=rank, seed=seed)


def test_an_epoch_uses_no_item_twice_and_epochs_differ():
    epochs = [list(plan().epoch(epoch)) for epoch in range(4)]
    for epoch in epochs:
        items = [index for batch in epoch for index in batch]
        assert len(items) == len(set(items)) == 24
        assert set(items) <= set(range(26))
    assert all(a != b for a, b in pairwise(epochs))
    assert list(plan(seed=6).epoch(0)) != epochs[0]
    assert list(plan().epoch(1, first=4)) == epochs[1][4:]


@pytest.mark.parametrize("processes", [2, 4])
def test_shares_of_the_processes_make_up_the_global_batch(processes):
    shares = [plan(processes, rank).epoch(2) for rank in range(processes)]
    assert [list(chain(*parts)) for parts in zip(*shares, strict=True)] == list(plan().epoch(2))


def test_training_batches_hold_the_planned_items_of_the_epoch_and_leave_the_random_state_alone():
    data, before = Tones(), torch.get_rng_state()
    batches = list(training_batches(data, plan(), 3, 5, 0, torch.device("cpu")))
    assert torch.equal(torch.get_rng_state(), before)
    (indices,) = list(plan().epoch(3, first=5))
    assert data.epoch == 3
    assert len(batches) == 1
    assert torch.equal(batches[0]["x"], torch.stack([data[index]["x"] for index in indices]))
    assert batches[0]["speaker"].tolist() == [index % 3 for index in indices]


def test_ordered_batches_visit_every_item_once_over_all_processes():
    data = Tones(11)
    found = [batch["x"] for rank in range(3) for batch in ordered_batches(data, 2, 3, rank, torch.device("cpu"))]
    assert max(len(x) for x in found) == 2
    rows = sorted(tuple(row.tolist()) for x in found for row in x)
    assert rows == sorted(tuple(data[index]["x"].tolist()) for index in range(11))
