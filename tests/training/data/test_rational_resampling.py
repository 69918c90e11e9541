"""Resampling by small ratios: any piece equals that piece of the whole, and sines come out as sines."""

from fractions import Fraction

import numpy as np
import pytest

from training.data.rational_resampling import RateResampler, rate_grid

RATES = [Fraction(17, 20), Fraction(39, 40), Fraction(1), Fraction(41, 40), Fraction(47, 40), Fraction(2)]


def reader(x):
    def read(start, stop):
        padded = np.pad(x, (max(0, -start), max(0, stop - len(x))))
        return padded[max(start, 0) : max(start, 0) + stop - start]

    return read


@pytest.mark.parametrize("rate", RATES)
def test_a_piece_equals_the_piece_of_the_whole(rate):
    x = np.random.default_rng(0).standard_normal(3000).astype(np.float32)
    resampler = RateResampler(rate)
    whole = resampler.crop(reader(x), 0, resampler.length(len(x)))
    for start, stop in ((0, 1), (1, 500), (613, 1301), (len(whole) - 100, len(whole))):
        np.testing.assert_allclose(resampler.crop(reader(x), start, stop), whole[start:stop], atol=1e-6)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("frequency", [0.0, 0.01, 0.1, 0.2])
def test_a_sine_becomes_the_sine_of_rate_times_its_frequency(rate, frequency):
    x = np.cos(2 * np.pi * frequency * np.arange(8000) + 0.3).astype(np.float32)
    resampler = RateResampler(rate)
    y = resampler.crop(reader(x), 0, resampler.length(len(x)))
    expected = np.cos(2 * np.pi * frequency * float(rate) * np.arange(len(y)) + 0.3)
    np.testing.assert_allclose(y[200:-200], expected[200:-200], atol=2e-4)


def test_what_would_alias_is_removed():
    x = np.cos(2 * np.pi * 0.45 * np.arange(8000)).astype(np.float32)
    resampler = RateResampler(Fraction(5, 4))
    y = resampler.crop(reader(x), 0, resampler.length(len(x)))
    assert np.abs(y[200:-200]).max() < 1e-3


@pytest.mark.parametrize("rate", RATES)
def test_length_is_the_length_over_the_rate(rate):
    assert RateResampler(rate).length(1000) == int(1000 / rate)


def test_the_grid_holds_its_ends_and_refuses_empty_ranges():
    assert rate_grid(0.85, 1.15) == tuple(Fraction(n, 40) for n in range(34, 47))
    assert rate_grid(1.0, 1.0) == (Fraction(1),)
    with pytest.raises(ValueError, match="no multiple"):
        rate_grid(1.001, 1.002)
    with pytest.raises(ValueError, match="within"):
        rate_grid(1.2, 0.8)
