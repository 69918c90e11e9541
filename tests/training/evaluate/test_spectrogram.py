from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from evaluation_corpus import voice
from matplotlib.image import imread

from training.evaluate.spectrogram import decibels, draw_spectrograms


def test_a_tone_stands_at_its_frequency_and_level() -> None:
    x = np.sin(2 * np.pi * 1000.0 * np.arange(22050) / 22050).astype(np.float32)
    picture = decibels(x)
    assert picture.shape == (513, 87)
    assert picture[:, 40].argmax() == round(1000.0 * 1024 / 22050)
    assert picture[:, 40].max() == pytest.approx(20 * np.log10(1024 / 4), abs=1.5)  # half of a Hann window's sum
    assert decibels(np.zeros(10, np.float32)).max() == pytest.approx(-100.0)


@pytest.mark.parametrize("waveforms", [False, True])
def test_a_picture_grows_with_its_signals(tmp_path: Path, waveforms: bool) -> None:
    x = voice(120.0, 0.5)
    for count in (1, 2):
        draw_spectrograms(tmp_path / f"{count}.png", [("original", x), ("silence", 0 * x)][:count], 22050, waveforms)
    one, two = (imread(tmp_path / f"{count}.png") for count in (1, 2))
    assert two.shape[0] == pytest.approx(2 * one.shape[0], abs=2)
    assert two.shape[1] == one.shape[1]
    assert one[:, :, :3].std() > 0.05


def test_nothing_to_draw_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one"):
        draw_spectrograms(tmp_path / "none.png", [], 22050)
