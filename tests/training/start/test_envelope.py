from dataclasses import replace

import pytest
import torch
from tiny_models import lapped_config, student_config

from training.start.envelope import fit_envelope
from vocoder.layers.stack.wavenet import WaveNetConfig
from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import MelSpectrogram
from vocoder.models.student import Student
from vocoder.models.waveglow import WaveGlow

HOP, RATE = 32, 8000
MEL = MelConfig("tiny", RATE, n_fft=128, win_length=128, hop_length=HOP, n_mels=12, f_min=0.0, f_max=4000.0)
SIZES = {"n_mels": 12, "hop_length": HOP, "group_size": HOP, "cond_channels": 4}
STUDENT = student_config(filter_taps=32, stacks=(WaveNetConfig(4, (1,), 2, causal=True),), **SIZES)
MODELS = {
    "frames": lambda: Student(replace(STUDENT, kind="frames")),
    "samples": lambda: Student(replace(STUDENT, kind="samples")),
    "waveglow": lambda: WaveGlow(lapped_config(flows=2, source=None, stack=WaveNetConfig(4, (1,)), **SIZES)),
}


def coloured_noise(seed, batch=8):
    """Return noise of several levels, louder at low frequencies, and its mel."""
    white = torch.randn(batch, 64 * HOP + 1, generator=torch.Generator().manual_seed(seed))
    x = torch.exp(torch.linspace(-4, -1, batch))[:, None] * (white[:, 1:] + 0.8 * white[:, :-1])
    return x, MelSpectrogram(MEL)(x)[:, :, : x.shape[1] // HOP]


@pytest.mark.parametrize("name", MODELS)
def test_a_fitted_envelope_gives_samples_the_level_and_colour_of_the_mel(name):
    model = MODELS[name]().requires_grad_(False)
    fit_envelope(model, [coloured_noise(0), coloured_noise(1)])
    fit_envelope(model, [])  # keeps the fitted envelope
    x, mel = coloured_noise(2)
    sample = model.sample(torch.randn(model.noise_shape(*mel.shape[::2])), mel)
    ratio = 20 * torch.log10(sample.std(dim=1) / x.std(dim=1))
    assert float(ratio.abs().max()) < 1.0
    for signal in (x, sample):
        correlation = (signal[:, 1:] * signal[:, :-1]).mean() / signal.square().mean()
        assert float(correlation) == pytest.approx(0.8 / 1.64, abs=0.06)
