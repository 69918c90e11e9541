"""WaveGlows small enough for Jacobians, and a reverse student, with parameters away from their starting values."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import nn

from vocoder.checkpoint import Checkpoint
from vocoder.layers.source.pitch import PitchConfig
from vocoder.layers.spectrum_head import SpectrumHeadConfig
from vocoder.layers.stack import WaveNetConfig
from vocoder.mel.config import MelConfig
from vocoder.models.families import family_of
from vocoder.models.reverse import Reverse, ReverseConfig
from vocoder.models.waveglow import WaveGlow
from vocoder.models.waveglow_config import SourceConfig, WaveGlowConfig
from vocoder.synthesis.synthesizer import Synthesizer

Module = TypeVar("Module", bound=nn.Module)

TINY_MEL = MelConfig("tiny", 8000, n_fft=64, win_length=64, hop_length=8, n_mels=5, f_min=0.0, f_max=4000.0)


def lapped_config(**changes: Any) -> WaveGlowConfig:
    """Return the configuration with a lapped transform: two steps for each frame, and a harmonic source."""
    values: dict[str, Any] = {
        "n_mels": 5,
        "hop_length": 8,
        "sample_rate": 8000,
        "group_size": 4,
        "flows": 3,
        "cond_channels": 6,
        "stack": WaveNetConfig(channels=6, dilations=(1, 2)),
        "source": SourceConfig(PitchConfig(channels=4, layers=2, kernel_size=3, bins=12), f_max=3000.0),
        "corrections": 1,
    }
    return WaveGlowConfig(**(values | changes))


def grouping_config(**changes: Any) -> WaveGlowConfig:
    """Return the published kind of configuration: flows of 4, 4, 3 and 3 channels."""
    values: dict[str, Any] = {
        "n_mels": 5,
        "hop_length": 8,
        "sample_rate": 8000,
        "transform": "grouping",
        "group_size": 4,
        "flows": 4,
        "early_every": 2,
        "early_size": 1,
        "conditioning": "upsampled",
        "cond_channels": 20,
        "upsample_kernel": 20,
        "mixing": "orthogonal",
        "log_s_bound": None,
        "stack": WaveNetConfig(channels=6, dilations=(1, 2)),
        "source": None,
        "corrections": 0,
        "sigma": 0.6,
    }
    return WaveGlowConfig(**(values | changes))


def reverse_config(**changes: Any) -> ReverseConfig:
    """Return the configuration of a reverse student with a network of two blocks that looks one frame ahead."""
    values: dict[str, Any] = {
        "n_mels": 5,
        "hop_length": 8,
        "sample_rate": 8000,
        "cond_channels": 6,
        "channels": 8,
        "hidden": 12,
        "blocks": 2,
        "kernel_size": 3,
        "ahead": 1,
        "source": SourceConfig(PitchConfig(channels=4, layers=2, kernel_size=3, bins=12, ahead=1), f_max=3000.0),
        "corrections": 1,
    }
    return ReverseConfig(**(values | changes))


STYLES: dict[str, dict[str, Any]] = {
    "nice": {"coupling": "additive", "mixing": "reversal"},
    "realnvp": {"mixing": "shuffle"},
    "glow": {"mixing": "orthogonal", "actnorm": True},
    "additive glow": {"coupling": "additive", "actnorm": True},
}
"""settings of the audio flow after the flows of images that came before it"""

TINY_CONFIGS = {"lapped": lapped_config, "grouping": grouping_config}


def stirred(module: Module, scale: float = 0.2) -> Module:
    """Move every parameter of `module` by normal noise: no zero, no identity and no orthogonal matrix is left."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    return module


def tiny_waveglow(kind: str, **changes: Any) -> WaveGlow:
    """Return a WaveGlow of one of `TINY_CONFIGS`."""
    return stirred(WaveGlow(TINY_CONFIGS[kind](**changes)))


def tiny_reverse(**changes: Any) -> Reverse:
    """Return a reverse student of `reverse_config`."""
    return stirred(Reverse(reverse_config(**changes)))


def tiny_spectral(**changes: Any) -> Reverse:
    """Return a reverse student whose head makes spectra."""
    return tiny_reverse(head=SpectrumHeadConfig(TINY_MEL), **changes)


def tiny_synthesizer(kind: str, dtype: torch.dtype = torch.float32, **changes: Any) -> Synthesizer:
    """Return a synthesizer of a tiny WaveGlow, or of a tiny reverse student, `reverse` or `spectral`."""
    students = {"reverse": tiny_reverse, "spectral": tiny_spectral}
    model = students[kind](**changes) if kind in students else tiny_waveglow(kind, **changes)
    checkpoint = Checkpoint(model, family_of(model), TINY_MEL)
    return Synthesizer(checkpoint, kind, "cpu", dtype)
