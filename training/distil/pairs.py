"""Pairs of noise and audio from a trained WaveGlow, for a student that learns its way back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vocoder.flows.conv1x1 import InvertibleConv1x1
from vocoder.flows.coupling import AffineCoupling
from vocoder.models.waveglow import WaveGlow

__all__ = ["Pairs", "pairs_of"]


@dataclass(frozen=True)
class Pairs:
    """Noise and what the flow makes of it.

    Attributes:
        z: noise (B, C, steps).
        states: (B, C, steps) after each flow on the way from noise to audio; the last are the coefficients of the audio
            before the element-wise flow scales them.
    """

    z: Tensor
    states: tuple[Tensor, ...]


@torch.no_grad()
def pairs_of(model: WaveGlow, x: Tensor, mel: Tensor) -> Pairs:
    """Return the noise of audio x (B, T) under a WaveGlow over frames, with all states between, in one parallel pass.

    Raises:
        ValueError: the WaveGlow has no lapped transform.
    """
    if model.envelope is None:
        raise ValueError("pairs come from a WaveGlow over the frames of a lapped transform")
    z, _ = model.transform(x.unsqueeze(1))
    z, _ = model.envelope(z, model.envelope_condition(mel))
    condition, states = model.condition(mel), [z]
    for conv, coupling in zip(model.convinv, model.couplings, strict=True):
        assert isinstance(conv, InvertibleConv1x1)
        assert isinstance(coupling, AffineCoupling)
        z, _ = coupling(conv(z)[0], condition)
        states.append(z)
    return Pairs(states[-1], tuple(reversed(states[:-1])))
