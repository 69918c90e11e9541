from __future__ import annotations

import numpy as np
import pytest
from evaluation_corpus import voice

from training.evaluate.candidates import GriffinLim, mel_of
from training.evaluate.metric import Audio
from vocoder.mel.config import MelConfig, preset


def spectral_error(x: Audio, config: MelConfig, iterations: int) -> float:
    """Mean absolute difference of the log-mels of x and of what Griffin-Lim makes of its mel."""
    mel = mel_of(x, config)
    generated = GriffinLim(config, iterations)(mel)
    assert generated.shape == (mel.shape[1] * config.hop_length,)
    assert generated.dtype == np.float32
    again = mel_of(generated, config)[:, : mel.shape[1]]
    return float(np.abs(again - mel).mean())


def test_iterations_bring_the_mel_closer() -> None:
    x, config = voice(150.0, 1.0), preset("nvidia")
    assert spectral_error(x, config, 60) < 0.7 * spectral_error(x, config, 1)


@pytest.mark.parametrize("name", ["hifigan", "espnet", "tacotron2-tf", "vocos"])
def test_every_convention_is_undone(name: str) -> None:
    """Where logarithm, power and framing are understood, 60 iterations come close to the mel they started from."""
    config = preset(name)
    unit = {"ln": 1.0, "log10": np.log(10.0), "db20": 100.0 / 8.0 * np.log(10.0) / 20.0}[config.log]
    assert spectral_error(voice(150.0, 1.0), config, 60) * unit < 0.35


def test_audio_stands_where_the_mel_says() -> None:
    """A burst comes back at its own time, for framings with and without centring."""
    x = np.zeros(22050, dtype=np.float32)
    x[9000:9512] = 0.3 * np.random.default_rng(0).standard_normal(512)
    for name in ("nvidia", "hifigan"):
        generated = GriffinLim(preset(name))(mel_of(x, preset(name)))
        centre = np.average(np.arange(len(generated)), weights=generated**2)
        assert centre == pytest.approx(9256, abs=60), name
