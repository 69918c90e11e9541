from __future__ import annotations

import torch

from training.loop import random_state


def draw() -> list[float]:
    return [float(torch.randn(())), float(torch.rand(()))]


def test_states_survive_a_file_and_a_block_of_its_own(tmp_path):
    random_state.seed_all(3)
    torch.save(random_state.capture(), tmp_path / "random.pt")
    with random_state.isolated(8):
        first = draw()
    expected = draw()
    random_state.seed_all(3, rank=1)
    assert draw() != expected
    random_state.restore(torch.load(tmp_path / "random.pt", weights_only=True))
    assert draw() == expected
    with random_state.isolated(8):
        assert draw() == first
