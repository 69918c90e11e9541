"""Resampling by small ratios: any piece equals that piece of the whole, and sines come out as sines."""

from fractions import Fraction

import numpy as np
import pytest

from training.data.rational_resampling import crop, rate_grid, resampled_length
from vocoder.config import ConfigError

RATES = [Fraction(17, 20), Fraction(39, 40), Fraction(1), Fraction(41, 40), Fraction(47, 40), Fraction(2)]


def resampled(x, rate, start=0, stop=None):
    padded = np.pad(x, 4000)
    return crop(
        lambda a, b: padded[a + 4000 : b + 4000], rate, start, resampled_length(len(x), rate) if stop is None else stop
    )


@pytest.mark.parametrize("rate", RATES)
def test_a_piece_equals_the_piece_of_the_whole(rate):
    x = np.random.default_rng(0).standard_normal(3000).astype(np.float32)
    whole = resampled(x, rate)
    assert len(whole) == int(3000 / rate)
    for start, stop in ((0, 1), (1, 500), (613, 1301), (len(whole) - 100, len(whole))):
        np.testing.assert_allclose(resampled(x, rate, start, stop), whole[start:stop], atol=1e-6)


@pytest.mark.parametrize("rate", RATES)
def test_a_sine_becomes_the_sine_of_rate_times_its_frequency(rate):
    for frequency in (0.0, 0.01, 0.1, 0.2):
        y = resampled(np.cos(2 * np.pi * frequency * np.arange(8000) + 0.3).astype(np.float32), rate)
        expected = np.cos(2 * np.pi * frequency * float(rate) * np.arange(len(y)) + 0.3)
        np.testing.assert_allclose(y[200:-200], expected[200:-200], atol=2e-4)


def test_the_grid_holds_its_ends_and_refuses_empty_ranges():
    assert rate_grid((0.85, 1.15)) == tuple(Fraction(n, 40) for n in range(34, 47))
    assert rate_grid((1.0, 1.0)) == (Fraction(1),)
    for rates, words in (((1.001, 1.002), "no multiple"), ((1.2, 0.8), "within"), ((1.0,), "range")):
        with pytest.raises(ConfigError, match=words):
            rate_grid(rates)
