from dataclasses import replace

import pytest
import torch

from training.start.envelope import fit_envelope
from vocoder.layers.stack import WaveNetConfig
from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import MelSpectrogram
from vocoder.models.student import Student, StudentConfig
from vocoder.models.waveglow import WaveGlow
from vocoder.models.waveglow_config import WaveGlowConfig

HOP, RATE = 32, 8000
MEL = MelConfig("tiny", RATE, n_fft=128, win_length=128, hop_length=HOP, n_mels=12, f_min=0.0, f_max=4000.0)
CONFIG = StudentConfig(
    n_mels=12,
    hop_length=HOP,
    sample_rate=RATE,
    group_size=32,
    cond_channels=4,
    filter_taps=32,
    stacks=(WaveNetConfig(4, (1,), 2, causal=True),),
)

STACK = WaveNetConfig(4, (1,))
WAVEGLOW = WaveGlowConfig(12, HOP, RATE, group_size=HOP, flows=2, cond_channels=4, stack=STACK, source=None)


def coloured(seed, batch=8):
    """Noise of many levels, its low half louder than its high half, and its mel."""
    generator = torch.Generator().manual_seed(seed)
    white = torch.randn(batch, 64 * HOP + 1, generator=generator)
    level = torch.exp(torch.linspace(-4, -1, batch))[:, None]
    x = level * (white[:, 1:] + 0.8 * white[:, :-1])
    return x, MelSpectrogram(MEL)(x)[:, :, : x.shape[1] // HOP]


MODELS = {kind: lambda kind=kind: Student(replace(CONFIG, kind=kind)) for kind in ("frames", "samples")}
MODELS["waveglow"] = lambda: WaveGlow(WAVEGLOW)


@pytest.mark.parametrize("name", MODELS)
def test_first_samples_have_level_and_colour_of_their_mel(name):
    torch.manual_seed(0)
    model = MODELS[name]().requires_grad_(False)
    fit_envelope(model, [coloured(0), coloured(1)])
    fit_envelope(model, [])  # what is fitted stays
    x, mel = coloured(2)
    sample = model.sample(torch.randn(model.noise_shape(*mel.shape[::2])), mel)
    ratio = 20 * torch.log10(sample.std(dim=1) / x.std(dim=1))
    assert float(ratio.abs().max()) < 1.0
    for signal in (x, sample):
        correlation = (signal[:, 1:] * signal[:, :-1]).mean() / signal.square().mean()
        assert float(correlation) == pytest.approx(0.8 / 1.64, abs=0.06)
