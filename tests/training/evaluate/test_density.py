from __future__ import annotations

import math

import numpy as np
import pytest
from evaluation_corpus import NoiseVocoder, WhiteModel, voice

from training.evaluate.density import NOISE, density_of, nats_per_sample
from vocoder.mel.config import preset


def test_nats_of_silence_are_those_of_the_noise() -> None:
    """Silence with its noise has variance NOISE^2 + 2^-30 / 12; a Gaussian of that scale has the entropy's nats."""
    scale = math.sqrt(NOISE**2 + 2.0**-30 / 12.0)
    silence = np.zeros(50_000, dtype=np.float32)
    entropy = 0.5 * math.log(2.0 * math.pi * math.e) + math.log(scale)
    assert nats_per_sample(WhiteModel(scale), silence, preset("nvidia")) == pytest.approx(entropy, abs=0.01)


def test_a_fitting_density_needs_fewer_nats() -> None:
    x = voice(120.0, 0.5)
    fitting, loose = (nats_per_sample(WhiteModel(scale), x, preset("nvidia")) for scale in (float(x.std()), 1.0))
    assert fitting < loose


def test_only_models_with_a_density_have_one() -> None:
    model = WhiteModel(1.0)
    assert density_of(NoiseVocoder(model=model)) is model
    assert density_of(NoiseVocoder(model=object())) is None
    assert density_of(object()) is None
