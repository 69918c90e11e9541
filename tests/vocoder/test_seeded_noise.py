from __future__ import annotations

import pytest
import torch

from vocoder.sampling import white_noise


@pytest.mark.parametrize("size", [1, 7, 31, 32, 45])
def test_chunks_make_up_the_whole(size):
    chunks = [white_noise(3, start, min(size, 100 - start), 4, 2) for start in range(0, 100, size)]
    assert torch.equal(torch.cat(chunks, dim=1), white_noise(3, 0, 130, 4, 2)[:, :200])


def test_it_is_standard_normal_and_white():
    noise = white_noise(0, 0, 2000, 50).double()
    assert abs(float(noise.mean())) < 0.02
    assert abs(float(noise.std()) - 1) < 0.02
    assert abs(float(noise.pow(4).mean()) - 3) < 0.1
    covariance = torch.cov(noise)
    assert (covariance - torch.eye(50)).abs().max() < 0.12
    assert abs(float((noise[:, 1:] * noise[:, :-1]).mean())) < 0.02


def test_what_a_seed_means_never_changes():
    first, later = white_noise(0, 0, 1, 4), white_noise(1234567890123, 40, 1, 2, 2)
    assert first.flatten().tolist() == pytest.approx([0.0599110, 0.0155596, -1.1644385, -0.1326471], abs=1e-6)
    assert later.flatten().tolist() == pytest.approx([-1.3946064, -0.1080087, -1.6208239, 0.9147669], abs=1e-6)


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, "7"])
def test_seeds_out_of_range_are_refused(seed):
    with pytest.raises(ValueError, match=f"below 2\\*\\*63, not {seed!r}"):
        white_noise(seed, 0, 1, 1)
