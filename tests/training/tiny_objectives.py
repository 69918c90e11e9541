"""Tiny objectives of every kind of vocoder with all their losses."""

import tiny_reverse
import tiny_waveglow
import torch
from tiny_waveglow import CRITICS, MEL, RATE

from training.runs.student import StudentLosses, StudentObjective
from training.runs.wavenet import WaveNetLosses, WaveNetObjective
from vocoder.layers.stack.wavenet import WaveNetConfig
from vocoder.mel.config import preset
from vocoder.models.student import Student, StudentConfig
from vocoder.models.waveglow import WaveGlow
from vocoder.models.wavenet import WaveNet, WaveNetModelConfig

PAST = 64
STACK = WaveNetConfig(channels=4, dilations=(1, 2), kernel_size=2, causal=True)
SHAPE = {"n_mels": 8, "hop_length": 16, "sample_rate": RATE, "cond_channels": 4}


def wavenet():
    model = WaveNet(WaveNetModelConfig(lpc=None, stack=STACK, **SHAPE))
    return WaveNetObjective(model, MEL, WaveNetLosses(past=PAST, bfloat16=False), WaveGlow(tiny_waveglow.LAPPED))


def predicting_wavenet():
    return WaveNetObjective(WaveNet(WaveNetModelConfig(stack=STACK)), preset("nvidia"), WaveNetLosses(), None)


def student(kind, bfloat16=False):
    source = tiny_waveglow.LAPPED.source if kind == "frames" else None
    config = StudentConfig(kind=kind, group_size=16, filter_taps=16, stacks=(STACK,) * 2, source=source, **SHAPE)
    losses = StudentLosses(power=1.0, adversarial=0.3, critics_from=0, critics=CRITICS, bfloat16=bfloat16)
    teacher = WaveNet(WaveNetModelConfig(stack=STACK, lpc=None, **SHAPE))
    return StudentObjective(Student(config), teacher, MEL, losses)


def perturbed(made):
    """Add noise to every trained parameter, since last layers start at zero."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))
    return made


VOCODERS = {
    "waveglow": lambda: tiny_waveglow.objective(samples_from=0, critics_from=0),
    "wavenet": wavenet,
    "student over frames": lambda: student("frames"),
    "student over samples": lambda: student("samples"),
    "reverse": lambda: tiny_reverse.objective(samples_from=0, critics_from=0),
}
ON_GPUS = VOCODERS | {
    "waveglow": lambda: tiny_waveglow.objective(bfloat16=True),
    "published waveglow": lambda: tiny_waveglow.objective(tiny_waveglow.GROUPING),
    "wavenet over linear prediction": predicting_wavenet,
    "student over frames": lambda: student("frames", bfloat16=True),
    "reverse": lambda: tiny_reverse.objective(bfloat16=True),
}
