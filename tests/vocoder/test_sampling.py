"""What a caller may choose, and what is refused before a model is asked."""

from __future__ import annotations

import numpy as np
import pytest

from vocoder.sampling import Sampling


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"sigma": "1"}, "sigma must be a number, not '1'"),
        ({"denoise": [1.0]}, "denoise must be a number"),
        ({"sigma": -0.1}, "sigma must be 0 or more, not -0.1"),
        ({"sigma": float("nan")}, "sigma must be 0 or more, not nan"),
        ({"denoise": 1.01}, "denoise must lie in 0 to 1"),
        ({"denoise": float("inf")}, "denoise must lie in 0 to 1"),
        ({"seed": -1}, "the seed must be a whole number, 0 or more"),
        ({"seed": 2**63}, "the seed must be"),
        *(({"corrections": count}, "whole number from 0 to 100") for count in (-1, 101, 2.0, True, "6")),
    ],
)
def test_what_is_out_of_range_is_named(choice, words):
    with pytest.raises(ValueError, match=words):
        Sampling(**choice)


@pytest.mark.parametrize("number", [0, 1, 0.5, np.float32(0.5), np.int64(1)])
def test_numbers_of_every_kind_are_taken(number):
    assert Sampling(sigma=number, denoise=number).sigma == number


def test_seeds_follow_each_other_or_are_drawn():
    assert Sampling(seed=7).seeds(3) == [7, 8, 9]
    assert Sampling(seed=7).seeded() == Sampling(seed=7)
    assert Sampling().seeded() != Sampling().seeded()
    assert len(set(Sampling().seeds(3))) == 3
    with pytest.raises(ValueError, match="the seed must be"):
        Sampling(seed=2**63 - 1).seeds(2)
