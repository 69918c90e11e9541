"""Tiny objectives of every kind of vocoder with all their losses, and training voices."""

import dataclasses
import math

import tiny_models
import torch

from training.critics import CriticConfig
from training.runs.reverse import ReverseLosses, ReverseObjective
from training.runs.student import StudentLosses, StudentObjective
from training.runs.waveglow import WaveGlowLosses, WaveGlowObjective
from training.runs.wavenet import WaveNetLosses, WaveNetObjective
from training.start.inheritance import inherit_ends
from vocoder.layers.conditioning import PitchConfig
from vocoder.layers.source import SourceConfig
from vocoder.layers.stack.wavenet import WaveNetConfig
from vocoder.mel.config import MelConfig, preset
from vocoder.models.reverse import Reverse
from vocoder.models.student import Student, StudentConfig
from vocoder.models.waveglow import WaveGlow
from vocoder.models.wavenet import WaveNet, WaveNetModelConfig

RATE, LENGTH, MARGIN, PAST = 8000, 2048, 64, 64
MEL = MelConfig("tiny", RATE, n_fft=128, win_length=128, hop_length=16, n_mels=8, f_min=0.0, f_max=4000.0)
PITCH = PitchConfig(channels=6, layers=1, kernel_size=3, f0_min=200.0, f0_max=550.0, bins=10)
SOURCE = SourceConfig(PITCH, f_max=3000.0)
CRITICS = CriticConfig(sizes=(128,), channels=2, length=1024, f_max=3000.0)
JOINING = {"samples_from": 10, "critics_from": 20, "bfloat16": False, "critics": CRITICS}

FRAMES = {"n_mels": 8, "hop_length": 16}
SIZES = FRAMES | {"stack": WaveNetConfig(channels=8, dilations=(1, 2))}
LAPPED = tiny_models.lapped_config(group_size=16, flows=2, source=SOURCE, **SIZES)
GROUPING = tiny_models.grouping_config(group_size=8, flows=3, cond_channels=64, upsample_kernel=32, **SIZES)
WAVEGLOW_LOSSES = WaveGlowLosses(likelihood=0.5, likelihood_every=2, **JOINING)
REVERSE = tiny_models.reverse_config(source=SOURCE, **FRAMES)
REVERSE_LOSSES = ReverseLosses(corrections=2, periodicity=8.0, **JOINING)
CAUSAL = WaveNetConfig(channels=4, dilations=(1, 2), kernel_size=2, causal=True)
SHAPE = FRAMES | {"sample_rate": RATE, "cond_channels": 4}
STUDENT = StudentConfig(group_size=16, filter_taps=16, stacks=(CAUSAL,) * 2, **SHAPE)


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


def waveglow(config=LAPPED, **losses):
    torch.manual_seed(0)
    return WaveGlowObjective(WaveGlow(config), MEL, dataclasses.replace(WAVEGLOW_LOSSES, **losses))


def reverse(**losses):
    teacher, student = perturbed(waveglow()).model, Reverse(REVERSE)
    inherit_ends(student, teacher)
    return ReverseObjective(student, teacher, MEL, dataclasses.replace(REVERSE_LOSSES, **losses))


def wavenet():
    model = WaveNet(WaveNetModelConfig(lpc=None, stack=CAUSAL, **SHAPE))
    return WaveNetObjective(model, MEL, WaveNetLosses(past=PAST, bfloat16=False), WaveGlow(LAPPED))


def predicting_wavenet():
    return WaveNetObjective(WaveNet(WaveNetModelConfig(stack=CAUSAL)), preset("nvidia"), WaveNetLosses(), None)


def student(kind, bfloat16=False):
    config = dataclasses.replace(STUDENT, kind=kind, source=SOURCE if kind == "frames" else None)
    losses = StudentLosses(power=1.0, adversarial=0.3, critics_from=0, critics=CRITICS, bfloat16=bfloat16)
    return StudentObjective(Student(config), MEL, losses, wavenet().model)


def perturbed(made):
    """Add noise to every parameter of an objective's model, since last layers start at zero."""
    tiny_models.perturbed(made.model, 0.05)
    return made


def model_loss(made, step):
    return made.loss("model", batch(), step)


def zero_gradients(model):
    return [n for n, p in model.named_parameters() if p.grad is None or not bool((p.grad != 0).any())]


VOCODERS = {
    "waveglow": lambda: waveglow(samples_from=0, critics_from=0),
    "wavenet": wavenet,
    "student over frames": lambda: student("frames"),
    "student over samples": lambda: student("samples"),
    "reverse": lambda: reverse(samples_from=0, critics_from=0),
}
ON_GPUS = VOCODERS | {
    "waveglow": lambda: waveglow(bfloat16=True),
    "published waveglow": lambda: waveglow(GROUPING),
    "wavenet over linear prediction": predicting_wavenet,
    "student over frames": lambda: student("frames", bfloat16=True),
    "reverse": lambda: reverse(bfloat16=True),
}
