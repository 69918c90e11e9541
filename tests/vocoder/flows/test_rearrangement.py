from __future__ import annotations

import pytest
import torch

from vocoder.flows.rearrangement import Grouping


def test_sample_and_channel_go_to_the_documented_place():
    x = torch.arange(48.0).reshape(2, 2, 12)
    z, _ = Grouping(4)(x)
    assert z.shape == (2, 8, 3)
    for channel in range(2):
        for j in range(4):
            for i in range(3):
                assert torch.equal(z[:, channel * 4 + j, i], x[:, channel, 4 * i + j])


def test_lengths_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="multiple of the group size 4, not 10"):
        Grouping(4)(torch.zeros(1, 1, 10))


def test_a_group_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least 1, not 0"):
        Grouping(0)
