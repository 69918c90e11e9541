from __future__ import annotations

import math

import numpy as np
import pytest

from vocoder.audio.loudness import normalise_peak, normalise_rms, peak, rms_db

SINE = np.sin(2 * np.pi * 441 * np.arange(22050) / 22050).astype(np.float32)


def test_a_full_scale_sine_is_three_decibels_below_a_square() -> None:
    assert rms_db(SINE) == pytest.approx(10 * math.log10(0.5), abs=1e-4)
    assert rms_db(np.sign(SINE + 1e-9)) == pytest.approx(0.0, abs=1e-3)


def test_half_the_amplitude_is_six_decibels_less() -> None:
    assert rms_db(0.5 * SINE) - rms_db(SINE) == pytest.approx(20 * math.log10(0.5), abs=1e-4)


def test_silence_has_no_level() -> None:
    assert rms_db(np.zeros(10, np.float32)) == rms_db(np.zeros(0, np.float32)) == -math.inf
    assert peak(np.zeros(0, np.float32)) == 0.0


@pytest.mark.parametrize("target_db", [-40.0, -23.0, 6.0])
def test_root_mean_square_reaches_its_target(target_db: float) -> None:
    y = normalise_rms(0.01 * SINE, target_db)
    assert y.dtype == np.float32
    assert rms_db(y) == pytest.approx(target_db, abs=1e-4)


def test_peak_reaches_its_target() -> None:
    y = normalise_peak(np.array([0.1, -0.4, 0.2], np.float32), 0.999)
    np.testing.assert_allclose(y, [0.24975, -0.999, 0.4995], rtol=1e-6)


@pytest.mark.parametrize("normalise", [normalise_peak, lambda x: normalise_rms(x, -20.0)])
def test_silence_cannot_be_scaled_to_a_level(normalise) -> None:
    with pytest.raises(ValueError, match="silent audio"):
        normalise(np.zeros(10, np.float32))
