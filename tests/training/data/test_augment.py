from fractions import Fraction

import numpy as np
import pytest
import torch

from training.data.augment import AugmentConfig, BlurConfig, augmented, blurred
from training.data.rational_resampling import crop, rate_grid, resampled_length
from vocoder.config import ConfigError

RATE = 16000
LENGTH = 16000


def sound():
    return (0.1 * np.random.default_rng(0).standard_normal(LENGTH)).astype(np.float32)


def vary(config, seed=1, x=None, band=RATE / 2):
    return augmented(sound() if x is None else x, band, RATE, config, np.random.default_rng(seed))


def power(x, low, high):
    frequency = np.fft.rfftfreq(len(x), 1 / RATE)
    return float(np.square(np.abs(np.fft.rfft(x)))[(frequency >= low) & (frequency < high)].sum())


def test_each_augmentation_changes_the_audio_but_not_its_level():
    np.testing.assert_allclose(vary(AugmentConfig())[0], sound(), atol=1e-6)
    low_pass = {"low_pass": 1.0, "low_pass_hz": (3400.0, 4000.0)}
    for settings in ({"equaliser_db": 12.0}, low_pass, {"noise": 1.0}, {"reverberation": 1.0}):
        y, _ = vary(AugmentConfig(**settings))
        assert y.dtype == np.float32
        assert float(np.abs(y - sound()).max()) > 1e-4
        assert float(np.std(y)) == pytest.approx(float(np.std(sound())), rel=0.02)


def test_a_low_pass_removes_everything_above_its_edge_and_lowers_the_band():
    y, band = vary(AugmentConfig(low_pass=1.0, low_pass_hz=(3000.0, 4000.0)))
    assert 3000 <= band <= 4000
    assert power(y, band, RATE / 2) < 1e-6 * power(y, 0, band)
    y, band = vary(AugmentConfig(low_pass=1.0, low_pass_hz=(7000.0, 7500.0)), band=6000.0)
    np.testing.assert_allclose(y, sound(), atol=1e-6)  # the edge is above the band
    assert band == 6000.0


def test_equaliser_and_reverberation_respect_their_settings():
    x = np.zeros(LENGTH, dtype=np.float32)
    x[0] = 1.0
    for seed in range(20):
        y, _ = vary(AugmentConfig(equaliser_db=6.0), seed, x)
        levels = 20 * np.log10(np.abs(np.fft.rfft(y)))
        assert 1 < np.ptp(levels) < 2 * 6.0 * 3.5  # a tilt by half the gain in each direction and up to three peaks
    x = np.zeros(LENGTH, dtype=np.float32)
    x[1000] = 1.0
    y, _ = vary(AugmentConfig(reverberation=1.0, reverberation_seconds=(0.1, 0.1)), x=x)
    assert float(np.abs(y[:1000]).max()) < 1e-6
    early, late = float(np.square(y[1001:1400]).sum()), float(np.square(y[2200:2600]).sum())
    assert early > 100 * late > 0


def test_enabling_one_augmentation_does_not_change_the_others():
    alone, _ = vary(AugmentConfig(equaliser_db=6.0))
    both, band = vary(AugmentConfig(equaliser_db=6.0, low_pass=1.0, low_pass_hz=(5000.0, 5000.0)))
    below = [np.abs(np.fft.rfft(x))[100:4000] for x in (alone, both)]
    ratio = below[1] / below[0]  # a constant gain that restores the level
    assert float(np.ptp(ratio)) < 1e-3 * float(ratio.mean())
    assert band == 5000.0


def test_a_share_of_the_mels_is_smoothed_with_triangular_windows():
    mel = torch.zeros(40, 21, 31)
    mel[:, 10, 15] = 1.0
    smooth = blurred(mel, BlurConfig(share=1.0, bands=5, frames=9, roughness=0.0))
    torch.testing.assert_close(smooth.sum(dim=(1, 2)), torch.ones(40))
    bands, frames = (smooth.sum(dim=axis) > 1e-6 for axis in (2, 1))
    assert bands.sum(dim=1).max() == 5
    assert 5 < frames.sum(dim=1).max() <= 9
    assert smooth[:, 10, 15].std() > 0.05  # window sizes differ between items
    mel = torch.zeros(400, 4, 8)
    noisy = blurred(mel, BlurConfig(share=0.3, roughness=0.5)).flatten(1).std(dim=1)
    assert 0.2 < (noisy > 0).float().mean() < 0.4
    assert noisy.max() < 0.8


RATES = [Fraction(17, 20), Fraction(39, 40), Fraction(1), Fraction(41, 40), Fraction(47, 40), Fraction(2)]


def resampled(x, rate, start=0, stop=None):
    padded, stop = np.pad(x, 4000), resampled_length(len(x), rate) if stop is None else stop
    return crop(lambda a, b: padded[a + 4000 : b + 4000], rate, start, stop)


@pytest.mark.parametrize("rate", RATES)
def test_resampling_a_piece_equals_a_piece_of_the_whole(rate):
    x = np.random.default_rng(0).standard_normal(3000).astype(np.float32)
    whole = resampled(x, rate)
    assert len(whole) == int(3000 / rate)
    for start, stop in ((0, 1), (1, 500), (613, 1301), (len(whole) - 100, len(whole))):
        np.testing.assert_allclose(resampled(x, rate, start, stop), whole[start:stop], atol=1e-6)


@pytest.mark.parametrize("rate", RATES)
def test_resampling_multiplies_frequencies_by_the_rate(rate):
    for frequency in (0.0, 0.01, 0.1, 0.2):
        y = resampled(np.cos(2 * np.pi * frequency * np.arange(8000) + 0.3).astype(np.float32), rate)
        expected = np.cos(2 * np.pi * frequency * float(rate) * np.arange(len(y)) + 0.3)
        np.testing.assert_allclose(y[200:-200], expected[200:-200], atol=2e-4)


def test_the_rate_grid_includes_its_ends_and_rejects_empty_ranges():
    assert rate_grid((0.85, 1.15)) == tuple(Fraction(n, 40) for n in range(34, 47))
    assert rate_grid((1.0, 1.0)) == (Fraction(1),)
    for rates, message in (((1.001, 1.002), "no multiple"), ((1.2, 0.8), "within"), ((1.0,), "range")):
        with pytest.raises(ConfigError, match=message):
            rate_grid(rates)
