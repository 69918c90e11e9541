import dataclasses

import pytest
import torch
from tiny_models import lapped_config

from vocoder.checkpoint import Checkpoint
from vocoder.layers.stack.wavenet import WaveNetConfig
from vocoder.mel.config import preset
from vocoder.models.waveglow import WaveGlow
from vocoder.synthesis.runner import Denoiser
from vocoder.synthesis.synthesizer import Synthesizer

MEL = dataclasses.replace(preset("nvidia"), n_mels=8)
SILENCE = torch.full((8, 60), -11.513)


@pytest.fixture
def humming():
    """A synthesizer of white noise, whatever the mel, with a hum in its tenth band below it."""
    changes = {"n_mels": 8, "hop_length": 256, "sample_rate": 22050, "group_size": 32, "flows": 1}
    config = lapped_config(**changes, stack=WaveNetConfig(4, (1,)), source=None, corrections=0)
    model = WaveGlow(config)
    with torch.no_grad():
        model.envelope.projection.bias[9] = 10 * 0.05  # the shift: ten times as large as it acts
    return Synthesizer(Checkpoint(model, "waveglow", MEL), "humming", "cpu", torch.float32)


def test_a_hum_in_silence_becomes_quieter(humming):
    hum = humming.synthesize(SILENCE, sigma=0.0)
    levels = [hum.square().mean()]
    for strength in (0.5, 1.0):
        levels.append(humming.synthesize(SILENCE, sigma=0.0, denoise=strength)[2048:-2048].square().mean())
    half, whole = (10 * torch.log10(level / levels[0]) for level in levels[1:])
    assert levels[0] > 1e-6
    assert -9 < half < -4
    assert whole < -20


def test_strength_0_changes_nothing(humming):
    assert torch.equal(humming.synthesize(SILENCE, seed=1, denoise=0.0), humming.synthesize(SILENCE, seed=1))
    x = torch.randn(2, 7000)
    torch.testing.assert_close(Denoiser(torch.randn(1, 7000)).remove(x, 0.0), x, atol=1e-5, rtol=0)
