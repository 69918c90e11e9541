"""A tiny WaveGlow of either kind with its objective, and training voices."""

import dataclasses
import math

import tiny_models
import torch

from training.critics.spectrogram import CriticConfig
from training.runs.waveglow import WaveGlowLosses, WaveGlowObjective
from vocoder.layers.conditioning import PitchConfig
from vocoder.layers.source import SourceConfig
from vocoder.layers.stack.wavenet import WaveNetConfig
from vocoder.mel.config import MelConfig
from vocoder.models.waveglow import WaveGlow

RATE, LENGTH, MARGIN = 8000, 2048, 64
MEL = MelConfig("tiny", RATE, n_fft=128, win_length=128, hop_length=16, n_mels=8, f_min=0.0, f_max=4000.0)
PITCH = PitchConfig(channels=6, layers=1, kernel_size=3, f0_min=200.0, f0_max=550.0, bins=10)
SIZES = {"n_mels": 8, "hop_length": 16, "stack": WaveNetConfig(channels=8, dilations=(1, 2))}
LAPPED = tiny_models.lapped_config(group_size=16, flows=2, source=SourceConfig(PITCH, f_max=3000.0), **SIZES)
GROUPING = tiny_models.grouping_config(group_size=8, flows=3, cond_channels=64, upsample_kernel=32, **SIZES)
CRITICS = CriticConfig(sizes=(128,), channels=2, length=1024, f_max=3000.0)
JOINING = {"samples_from": 10, "critics_from": 20, "bfloat16": False, "critics": CRITICS}
LOSSES = WaveGlowLosses(likelihood=0.5, likelihood_every=2, **JOINING)


def batch(items=2):
    """Return voices with varying levels: harmonics of 300 Hz and noise."""
    generator = torch.Generator().manual_seed(0)
    t = torch.arange(LENGTH + 2 * MARGIN) / RATE
    swell = 0.55 + 0.45 * torch.sin(2 * math.pi * 6 * t + torch.arange(items)[:, None])
    voice = sum(torch.cos(2 * math.pi * 300 * k * t) / k for k in range(1, 9))
    noise = torch.randn(items, len(t), generator=generator)
    f0 = torch.full((items, LENGTH // MEL.hop_length), 300.0)
    f0[:, ::5] = 0.0
    return {"x": swell * (0.1 * voice + 0.01 * noise), "f0": f0}


def objective(config=LAPPED, **losses):
    torch.manual_seed(0)
    return WaveGlowObjective(WaveGlow(config), MEL, dataclasses.replace(LOSSES, **losses))


def perturbed(config=LAPPED, **losses):
    made = objective(config, **losses)
    tiny_models.perturbed(made.model, 0.05)
    return made


def model_loss(made, step):
    return made.loss("model", batch(), step)


def zero_gradients(made):
    return [n for n, p in made.named_parameters() if p.grad is None or not bool((p.grad != 0).any())]
