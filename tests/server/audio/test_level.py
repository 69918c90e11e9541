"""Audio at a loudness: by ITU-R BS.1770, at any rate."""

import numpy as np
import pytest

from server.audio.formats import Level
from server.problems import Problem


def tone(sample_rate, amplitude, seconds=2.0):
    return (amplitude * np.sin(2.0 * np.pi * 997.0 * np.arange(int(seconds * sample_rate)) / sample_rate)).astype("f4")


@pytest.mark.parametrize("sample_rate", [22050, 24000, 44100, 48000])
@pytest.mark.parametrize("amplitude", [0.01, 0.5, 1.5])
def test_a_tone_has_the_loudness_that_the_standard_gives_it(sample_rate, amplitude):
    measured = -3.01 + 20.0 * np.log10(amplitude)  # 997 Hz in one channel at full scale is -3.01 LUFS
    level = Level(loudness=-23.0).of(tone(sample_rate, amplitude), sample_rate)
    assert level.gain == pytest.approx(-23.0 - measured, abs=0.15)


def test_a_gain_needs_no_audio():
    assert Level(6.0).of(np.zeros(3, np.float32), 22050) == Level(6.0)
    assert Level(-20.0).factor == pytest.approx(0.1)


@pytest.mark.parametrize(("x", "words"), [(tone(22050, 0.5, 0.39), "less than 0.4 s"), (tone(22050, 1e-5), "quiet")])
def test_audio_without_a_loudness(x, words):
    with pytest.raises(Problem, match=words):
        Level(loudness=-23.0).of(x, 22050)
