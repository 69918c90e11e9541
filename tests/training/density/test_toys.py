"""The toys' densities are those of their samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from training.density.items.toys import Points, toys

NAMES = sorted(toys())


@pytest.mark.parametrize("name", NAMES)
def test_the_density_integrates_to_one(name):
    axis = (np.arange(480) + 0.5) / 40 - 6
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    mass = sum(np.exp(toys()[name].log_prob(part)).sum() for part in np.array_split(grid, 20)) / 40**2
    assert mass == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize("name", NAMES)
def test_samples_fall_where_the_density_says(name):
    toy = toys()[name]
    rng = np.random.default_rng(1)
    x = toy.sample(20_000, rng)
    assert np.isfinite(toy.log_prob(x)).all()
    low, high = x.min(axis=0), x.max(axis=0)
    cells = np.floor((x - low) / (high - low) * 12).clip(0, 11).astype(int)
    counts = np.bincount(cells[:, 0] * 12 + cells[:, 1], minlength=144) / len(x)
    inner = (np.arange(12 * 10) + 0.5) / (12 * 10)
    points = np.stack(np.meshgrid(inner, inner, indexing="ij"), axis=-1).reshape(-1, 2) * (high - low) + low
    mass = np.exp(toy.log_prob(points)).reshape(12, 10, 12, 10).mean(axis=(1, 3)) * ((high - low) / 12).prod()
    assert np.abs(counts - mass.reshape(-1)).sum() < 0.12


def test_known_entropies():
    assert toys()["checkerboard"].entropy(1000) == pytest.approx(math.log(8))
    separate = math.log(8) + math.log(2 * math.pi * math.e * 0.25**2)  # eight Gaussians that hardly overlap
    assert toys()["eight"].entropy() == pytest.approx(separate, abs=0.02)


def test_points_depend_on_seed_and_epoch_alone():
    items, same, other = (Points(toys()["moons"], 50, seed) for seed in (1, 1, 2))
    first = torch.stack([items[i]["x"] for i in range(50)])
    items.set_epoch(1)
    assert items[0]["x"].shape == (2, 1)
    assert not torch.equal(items[0]["x"], first[0])
    assert not torch.equal(other[0]["x"], first[0])
    items.set_epoch(0)
    assert torch.equal(torch.stack([items[i]["x"] for i in range(50)]), first)
    assert torch.equal(same[49]["x"], first[49])
