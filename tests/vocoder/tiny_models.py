"""Tiny models whose parameters differ from their initial values; the WaveGlows are small enough for Jacobians."""

from dataclasses import replace

import torch
from torch import nn

from vocoder.checkpoint import Checkpoint, save_model
from vocoder.flows.linear_prediction import LinearPredictionConfig
from vocoder.layers.conditioning import PitchConfig, PitchNet
from vocoder.layers.source import SourceConfig
from vocoder.layers.spectrum_head import SpectrumHeadConfig
from vocoder.layers.stack.wavenet import WaveNetConfig
from vocoder.mel.config import MelConfig, preset
from vocoder.models.families import family_of
from vocoder.models.reverse import Reverse, ReverseConfig
from vocoder.models.student import Student, StudentConfig
from vocoder.models.waveglow import WaveGlow, WaveGlowConfig, published
from vocoder.models.wavenet import WaveNet, WaveNetModelConfig
from vocoder.synthesis.synthesizer import Synthesizer

TINY_MEL = MelConfig("tiny", 8000, n_fft=64, win_length=64, hop_length=8, n_mels=5, f_min=0.0, f_max=4000.0)
EXPORTED_MEL = replace(TINY_MEL, n_fft=32, win_length=32)
"""Corrections of this mel have two grids, as with real models; each grid makes a program larger."""

SIZES = {"n_mels": 5, "hop_length": 8, "sample_rate": 8000, "cond_channels": 6}
STACK = WaveNetConfig(channels=6, dilations=(1, 2))


def source_config(ahead=None):
    """Return the configuration of a harmonic source."""
    return SourceConfig(PitchConfig(channels=4, layers=2, kernel_size=3, bins=12, ahead=ahead), f_max=3000.0)


def lapped_config(**changes):
    """Return a configuration with a lapped transform, two steps per frame and a harmonic source."""
    values = {"group_size": 4, "flows": 3, "stack": STACK, "source": source_config(), "corrections": 1}
    return WaveGlowConfig(**(SIZES | values | changes))


def grouping_config(**changes):
    """Return a configuration of the published kind with flows of 4, 4, 3 and 3 channels."""
    sizes = {"group_size": 4, "flows": 4, "early_every": 2, "early_size": 1, "cond_channels": 20, "upsample_kernel": 20}
    return replace(published(), **(SIZES | sizes | {"stack": STACK} | changes))


def reverse_config(**changes):
    """Return the configuration of a reverse model with two blocks that looks one frame ahead."""
    values = {"channels": 8, "hidden": 12, "blocks": 2, "kernel_size": 3, "ahead": 1, "corrections": 1}
    return ReverseConfig(**(SIZES | values | {"source": source_config(1), "condition_ahead": 2} | changes))


def student_config(**changes):
    """Return the configuration of a student with two flows."""
    stacks = (WaveNetConfig(channels=4, dilations=(1, 2), kernel_size=2, causal=True),) * 2
    values = {"group_size": 8, "filter_taps": 8, "stacks": stacks, "corrections": 1}
    return StudentConfig(**(SIZES | values | changes))


TINY_CONFIGS = {"lapped": lapped_config, "grouping": grouping_config}


def perturbed(module, scale=0.2):
    """Add normal noise to every parameter of `module`, so that no zero, identity or orthogonal matrix remains."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    return module


def constant_net(config, logits, voicing=0.0):
    """Return a pitch network of mels of three bands with the same logits for every mel."""
    net = PitchNet(3, config)
    with torch.no_grad():
        net.output.weight.zero_()
        net.output.bias.copy_(torch.cat([logits, torch.tensor([voicing])]))
    return net


def tiny_waveglow(kind, **changes):
    """Return a WaveGlow of one of `TINY_CONFIGS`."""
    return perturbed(WaveGlow(TINY_CONFIGS[kind](**changes)))


def tiny_reverse(**changes):
    """Return a reverse model of `reverse_config`."""
    return perturbed(Reverse(reverse_config(**changes)))


def tiny_spectral(**changes):
    """Return a reverse model with a spectrum head."""
    return tiny_reverse(head=SpectrumHeadConfig(TINY_MEL), **changes)


def tiny_student(**changes):
    """Return a student of `student_config`."""
    return perturbed(Student(student_config(**changes)), 0.1)


def tiny_wavenet(lpc=True, kernel_size=2, **changes):
    """Return a frozen WaveNet, with linear prediction for the nvidia preset or without it for `TINY_MEL`."""
    stack = WaveNetConfig(channels=8, dilations=(1, 2, 4), kernel_size=kernel_size, causal=True)
    prediction = {"lpc": LinearPredictionConfig(order=6, subframes=2)} if lpc else {"lpc": None, **SIZES}
    model = WaveNet(WaveNetModelConfig(**(prediction | {"cond_channels": 6, "stack": stack} | changes)))
    nn.init.normal_(model.stack.end.weight, std=0.1)
    return model.requires_grad_(False)


def random_synthesizer(guard="off"):
    """Return a synthesizer with random weights for mels of the nvidia preset."""
    torch.manual_seed(0)
    sizes = {"n_mels": 80, "hop_length": 256, "sample_rate": 22050, "group_size": 8, "cond_channels": 640}
    model = perturbed(WaveGlow(grouping_config(**sizes, upsample_kernel=1024)), 0.05)
    return Synthesizer(Checkpoint(model, "waveglow", preset("nvidia")), "tiny", "cpu", torch.float32, guard)


def save_quiet_model(folder):
    """Save a tiny model for mels of the nvidia preset whose audio is well below full scale."""
    torch.manual_seed(5)
    config = lapped_config(n_mels=80, hop_length=256, sample_rate=22050, group_size=256, flows=1, cond_channels=4)
    waveglow = WaveGlow(config)
    waveglow.envelope.set_log_scale(torch.zeros(256, 80, 3), torch.full((256,), -4.0))
    quality = {"stoi": 0.9125, "voices": {"one": {"pesq": 2.5, "utterances": 3}}}
    return save_model(folder, waveglow, preset("nvidia"), quality=quality)


def tiny_synthesizer(kind, /, dtype=torch.float32, **changes):
    """Return a synthesizer for `TINY_MEL` with a tiny model of the given kind."""
    others = {"reverse": tiny_reverse, "spectral": tiny_spectral, "student": tiny_student, "wavenet": tiny_wavenet}
    model = others[kind](**changes) if kind in others else tiny_waveglow(kind, **changes)
    return Synthesizer(Checkpoint(model, family_of(model), TINY_MEL), kind, "cpu", dtype)
