"""Triangular mel filterbanks, computed in float64.

torchaudio's are computed in float32 from frequencies of several thousand hertz, which costs up to 7e-4 in the
log-mel of a pure tone that stands at the edge of a triangle.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vocoder.mel.config import MelConfig

__all__ = ["hz_to_mel", "mel_filterbank", "mel_to_hz"]

# The Slaney scale is linear up to 1000 Hz, which is mel 15, and has 27 steps for each factor of 6.4 above.
_LINEAR_HZ_PER_MEL = 200.0 / 3.0
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _LINEAR_HZ_PER_MEL
_LOG_STEP = math.log(6.4) / 27.0


def hz_to_mel(frequency: Tensor, scale: str) -> Tensor:
    """Convert hertz to mels of the Slaney (Auditory Toolbox) or HTK scale."""
    if scale == "htk":
        return 2595.0 * torch.log10(1.0 + frequency / 700.0)
    above = _BREAK_MEL + torch.log(frequency.clamp(min=_BREAK_HZ) / _BREAK_HZ) / _LOG_STEP
    return torch.where(frequency < _BREAK_HZ, frequency / _LINEAR_HZ_PER_MEL, above)


def mel_to_hz(mel: Tensor, scale: str) -> Tensor:
    """Convert mels of the Slaney or HTK scale to hertz."""
    if scale == "htk":
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    above = _BREAK_HZ * torch.exp(_LOG_STEP * (mel - _BREAK_MEL).clamp(min=0.0))
    return torch.where(mel < _BREAK_MEL, mel * _LINEAR_HZ_PER_MEL, above)


def mel_filterbank(config: MelConfig) -> Tensor:
    """Return the triangles (n_mels, n_fft // 2 + 1) of a mel contract, in float64.

    Neighbouring triangles share their edges; `mel_norm` "slaney" gives each the area 1 in hertz, "none" the height 1.
    """
    bins = torch.arange(config.n_fft // 2 + 1, dtype=torch.float64) * config.sample_rate / config.n_fft
    lowest, highest = hz_to_mel(torch.tensor([config.f_min, config.f_max], dtype=torch.float64), config.mel_scale)
    steps = torch.arange(config.n_mels + 2, dtype=torch.float64) / (config.n_mels + 1)
    edges = mel_to_hz(lowest + (highest - lowest) * steps, config.mel_scale)
    left, peak, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - left) / (peak - left), (right - bins) / (right - peak)
    bank = torch.minimum(rising, falling).clamp(min=0.0)
    return bank * (2.0 / (right - left)) if config.mel_norm == "slaney" else bank
