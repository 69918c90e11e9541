import librosa
import numpy as np
import pytest

from training.corpora.pyin import F0_MAX, F0_MIN, pyin
from vocoder.config import ConfigError

RATE = 22050


def voice(f0, noise=0.0, seed=0):
    """Return harmonics of f0 (T,) below 4 kHz that weaken by 6 dB an octave, and noise."""
    phase = 2 * np.pi * np.cumsum(f0) / RATE
    harmonics = [np.where(n * f0 < 4000, np.cos(n * phase) / n, 0.0) for n in range(1, 73)]
    x = 0.2 * np.sum(harmonics, axis=0) + noise * np.random.default_rng(seed).standard_normal(len(f0))
    return x.astype(np.float32)


def glide(low, high, seconds=1.0):
    return low * (high / low) ** (np.arange(int(seconds * RATE)) / (seconds * RATE))


@pytest.mark.parametrize(("window", "hop_length"), [(2048, 256), (1024, 200)])
def test_it_is_that_of_librosa(window, hop_length):
    noise = 0.05 * np.random.default_rng(1).standard_normal(RATE // 2)
    parts = np.zeros(RATE // 4), voice(glide(90, 150)), noise, voice(glide(260, 200), 0.1)
    x = np.concatenate(parts).astype(np.float32)
    f0, voiced, probability = pyin(x, RATE, window, hop_length)
    limits = {"fmin": F0_MIN, "fmax": F0_MAX, "resolution": 0.1, "fill_na": None}
    expected = librosa.pyin(x, sr=RATE, **limits, frame_length=window, hop_length=hop_length)
    assert 0.2 < expected[1].mean() < 0.9
    assert np.array_equal(voiced, expected[1])
    np.testing.assert_allclose(f0[voiced], expected[0][voiced], rtol=1e-6)
    np.testing.assert_allclose(probability, expected[2], atol=1e-5)


@pytest.mark.parametrize(("low", "high"), [(80.0, 160.0), (400.0, 200.0)])
def test_frame_n_is_centred_on_sample_n_times_the_hop(low, high):
    f0 = glide(low, high)
    found, voiced, _ = pyin(voice(f0), RATE)
    cents = 1200 * np.log2(found[: -(-RATE // 256)] / f0[::256])
    assert voiced[8:-8].all()
    assert abs(np.median(cents[8:-8])) < 3  # a frame more or less would be 14


def test_a_window_without_a_period_is_refused():
    with pytest.raises(ConfigError, match="holds no period"):
        pyin(np.zeros(4000, np.float32), RATE, 256)
