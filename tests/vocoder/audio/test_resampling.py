import math

import numpy as np
import pytest
import torch

from vocoder.audio.resampling import resample


def tone(frequency, sample_rate, samples):
    return torch.sin(2 * torch.pi * frequency * torch.arange(samples, dtype=torch.float64) / sample_rate)


def test_resampling_preserves_a_tone():
    for source, target in ((44100, 22050), (48000, 22050), (16000, 22050), (22050, 24000), (8000, 48000)):
        y = resample(tone(1234.5, source, source), source, target)
        assert len(y) == target
        inside = slice(target // 10, -target // 10)
        torch.testing.assert_close(y[inside], tone(1234.5, target, target)[inside], rtol=0, atol=1e-4)


def test_lengths_are_rounded_up_arrays_stay_arrays_and_invalid_rates_are_rejected():
    x = tone(440.0, 16000, 4000).float()
    y = resample(x.numpy(), 16000, 22050)
    assert isinstance(y, np.ndarray)
    with torch.autocast("cpu"):
        np.testing.assert_array_equal(y, resample(x.numpy()[::-1].copy()[::-1], 16000, 22050))
    for samples in (1, 7, 999, 1000, 1001):
        assert resample(torch.zeros(2, samples), 48000, 22050).shape == (2, math.ceil(samples * 22050 / 48000))
    for rate, message in ((0, "must be positive, not 0"), (22049, "22050 Hz: their common divisor is only 1")):
        with pytest.raises(ValueError, match=message):
            resample(torch.zeros(100), rate, 22050)
