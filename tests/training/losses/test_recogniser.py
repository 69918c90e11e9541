from __future__ import annotations

import pytest
import torch

from training.losses.recogniser import feature_distance, gram, style_distance


def test_gram_counts_what_occurs_together():
    features = torch.tensor([[[1.0, 0.0, 1.0, 0.0], [0.0, 2.0, 0.0, 2.0]]])
    assert torch.equal(gram(features), torch.tensor([[[0.5, 0.0], [0.0, 2.0]]]))


def test_style_ignores_the_order_in_time_and_features_do_not():
    torch.manual_seed(0)
    maps = [torch.randn(2, 3, 40), torch.randn(2, 5, 20)]
    shuffled = [value[:, :, torch.randperm(value.shape[2])] for value in maps]
    assert float(style_distance(shuffled, maps)) < 1e-10
    assert float(feature_distance(shuffled, maps)) > 1.0
    assert float(feature_distance(maps, maps)) == 0.0


def test_distances_are_relative():
    torch.manual_seed(0)
    maps = [torch.randn(2, 3, 40)]
    assert float(feature_distance([2 * value for value in maps], maps)) == pytest.approx(1.0)
    assert float(style_distance([2 * value for value in maps], maps)) == pytest.approx(9.0)
