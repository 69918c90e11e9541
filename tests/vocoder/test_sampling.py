import numpy as np
import pytest
import torch

from vocoder.sampling import Sampling, white_noise


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sigma": "1"}, "sigma must be a number from 0 to 2, or left out, not '1'"),
        *(({"sharpen": it}, "sharpen must be a number from 0 to 1, or") for it in ("", True, np.array(0.5), 1.1)),
        ({"sharpen": np.zeros((80, 90))}, "or left out, not array.{,25}$"),
        *(({"sigma": it}, f"from 0 to 2, or left out, not {it}") for it in (-0.1, 2.1, float("nan"))),
        *(({"denoise": it}, "denoise must be a number from 0 to 1, not") for it in (1.01, float("inf"), [1.0], None)),
        *(({"seed": seed}, "^seed must be a whole number from 0 to 9") for seed in (-1, 2**63, True)),
        *(({"corrections": count}, "whole number from 0 to 100") for count in (-1, 101, 2.0, True, "6")),
    ],
)
def test_invalid_options_are_rejected(options, message):
    with pytest.raises(ValueError, match=message):
        Sampling(**options)


@pytest.mark.parametrize("number", [0, 1, 0.5, np.float32(0.5), np.int64(1)])
def test_numbers_of_every_type_are_accepted(number):
    assert repr(Sampling(sigma=number, denoise=number).sigma) == repr(float(number))
    assert Sampling(corrections=np.int64(5), seed=np.uint8(255)).seeds(2) == [255, 256]


def test_seeds_are_consecutive_or_random():
    assert Sampling(seed=7).seeds(3) == [7, 8, 9]
    assert Sampling(seed=7).seeded() == Sampling(seed=7)
    assert Sampling().seeded() != Sampling().seeded()
    assert len(set(Sampling().seeds(3))) == 3
    with pytest.raises(ValueError, match="seed must be"):
        Sampling(seed=2**63 - 1).seeds(2)


@pytest.mark.parametrize("size", [1, 7, 31, 32, 45])
def test_noise_in_chunks_equals_the_whole(size):
    chunks = [white_noise(3, start, min(size, 100 - start), 4, 2) for start in range(0, 100, size)]
    assert torch.equal(torch.cat(chunks, dim=1), white_noise(3, 0, 130, 4, 2)[:, :200])


def test_noise_is_white_and_reproducible_across_versions():
    noise = white_noise(0, 0, 2000, 50).double()
    assert abs(float(noise.mean())) < 0.02
    assert abs(float(noise.std()) - 1) < 0.02
    assert abs(float(noise.pow(4).mean()) - 3) < 0.1
    assert (torch.cov(noise) - torch.eye(50)).abs().max() < 0.12
    assert abs(float((noise[:, 1:] * noise[:, :-1]).mean())) < 0.02
    first, later = white_noise(0, 0, 1, 4), white_noise(1234567890123, 40, 1, 2, 2)
    assert first.flatten().tolist() == pytest.approx([0.0599110, 0.0155596, -1.1644385, -0.1326471], abs=1e-6)
    assert later.flatten().tolist() == pytest.approx([-1.3946064, -0.1080087, -1.6208239, 0.9147669], abs=1e-6)
