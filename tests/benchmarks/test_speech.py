import numpy as np
import pytest

from benchmarks.speech import speech_mel
from vocoder.guard.guard import load_guard
from vocoder.mel.config import preset


@pytest.mark.parametrize("seconds", [0.5, 4.0, 11.0])
def test_length_and_mel_config(seconds):
    config = preset("nvidia")
    mel = speech_mel(config, seconds, seed=1)
    assert mel.shape == (80, round(seconds * 22050 / 256))
    assert mel.dtype == np.float32
    assert load_guard().check(mel, config).typical


def test_each_seed_begins_elsewhere():
    one, again, other = (speech_mel(preset("nvidia"), 1.0, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 1.0
