"""The bandwidth of a recording: found for made signals, whatever the sample rate says."""

import numpy as np
import pytest
from scipy.signal import firwin, oaconvolve

from training.corpora.condition import measure_bandwidth, prepared_bandwidth

RATE = 44100


def syllables(rate=RATE, seconds=2.0, seed=0):
    """Noise that comes and goes four times a second, and is weaker the higher it is, as speech is."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(int(rate * seconds))
    x = x + 10 * oaconvolve(x, firwin(201, 3000, fs=rate), mode="same")
    t = np.arange(len(x)) / rate
    return 0.01 * x * np.maximum(np.sin(2 * np.pi * 4 * t), 1e-4)


def low_passed(edge, rate=RATE):
    return oaconvolve(syllables(rate), firwin(2001, edge, fs=rate, window=("kaiser", 12)), mode="same")


def hiss(x, level):
    return x + level * np.random.default_rng(1).standard_normal(len(x))


def test_the_edge_of_a_low_pass_is_found_and_steady_hiss_above_it_does_not_widen_it():
    for edge in (1900, 3400, 7000, 10000, 16000):
        assert measure_bandwidth(low_passed(edge), RATE) == pytest.approx(edge, abs=350)
    for level in (1e-5, 1e-4, 1e-3):
        assert measure_bandwidth(hiss(low_passed(3400), level), RATE) == pytest.approx(3400, abs=350)
    for rate in (8000, 16000, 22050, 44100):
        assert measure_bandwidth(syllables(rate), rate) == rate / 2


def test_levels_and_what_is_never_heard_to_end_do_not_matter():
    for gain in (0.01, 100.0):
        assert measure_bandwidth(gain * low_passed(7000), RATE) == pytest.approx(7000, abs=350)
    for x in (np.zeros(RATE), np.zeros(10), np.random.default_rng(0).standard_normal(RATE)):
        assert measure_bandwidth(x, RATE) == RATE / 2


def test_resampling_up_ends_the_band_before_half_the_rate_and_down_caps_it():
    assert prepared_bandwidth(syllables(16000), 16000, 22050) == 7600
    assert prepared_bandwidth(syllables(RATE), RATE, 22050) == 11025
    assert prepared_bandwidth(low_passed(3400), RATE, 22050) == pytest.approx(3400, abs=350)
