import numpy as np
import pytest
import torch

from benchmarks.pitch import compared
from vocoder.config import ConfigError
from vocoder.loading import load


def test_a_network_is_compared_with_pyin(monkeypatch):
    voice = load("reverse", guard="off")
    t = np.arange(22050) / 22050
    x = sum(0.1 * np.sin(2 * np.pi * 180 * k * t) for k in range(1, 8)).astype(np.float32)
    frames = 1 + len(x) // 256

    def says(hertz, voicing):
        answer = torch.full((1, frames), float(hertz)), torch.full((1, frames), voicing)
        monkeypatch.setattr(voice.model.pitch, "pitch", lambda mel: answer)
        return compared(voice, x)

    agreed, off, share, median = says(180, 1.0)
    assert agreed > 0.95
    assert (off, share, median) == (0, pytest.approx(1, abs=0.05), pytest.approx(180, rel=0.01))
    assert says(360, 1.0)[1] == 1
    agreed, off, share, _ = says(180, 0.0)
    assert agreed < 0.05
    assert np.isnan(off)
    assert share == 0


def test_a_model_without_a_pitch_network_is_refused():
    with pytest.raises(ConfigError, match="no pitch network"):
        compared(load("wavenet", guard="off"), np.zeros(4096, np.float32))
