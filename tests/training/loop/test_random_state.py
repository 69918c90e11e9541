from __future__ import annotations

import random

import numpy as np
import torch

from training.loop import random_state


def draw() -> list[float]:
    return [
        random.random(),
        random.gauss(0, 1),
        float(np.random.normal()),
        float(torch.randn(())),
        float(torch.rand(())),
    ]


def test_states_survive_a_file(tmp_path):
    random_state.seed_all(3)
    draw()  # leaves half of a pair of normal numbers behind, which is state too
    torch.save(random_state.capture(), tmp_path / "random.pt")
    expected = draw()
    random_state.seed_all(4)
    random_state.restore(torch.load(tmp_path / "random.pt", weights_only=True))
    assert draw() == expected


def test_isolated_block_repeats_itself_and_leaves_no_trace():
    random_state.seed_all(3)
    expected = draw()
    random_state.seed_all(3)
    with random_state.isolated(8):
        first = draw()
    assert draw() == expected
    with random_state.isolated(8):
        assert draw() == first


def test_ranks_draw_different_numbers():
    random_state.seed_all(3, rank=0)
    first = draw()
    random_state.seed_all(3, rank=1)
    assert all(a != b for a, b in zip(first, draw(), strict=True))
