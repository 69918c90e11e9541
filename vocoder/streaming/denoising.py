"""The stage that takes the bias of a model from its audio."""

from __future__ import annotations

import math

from torch import Tensor

from vocoder.denoiser import HOP_LENGTH, N_FFT, Denoiser
from vocoder.stages import Stage, windowed

__all__ = ["denoising_stage"]


def denoising_stage(denoiser: Denoiser, strength: float, hop_length: int, signal: str) -> Stage:
    """Return the stage of the bias removal from `signal` (B, 1, T).

    A sample lies in spectra of N_FFT samples each, which reach as far again to its other side. They stand at multiples
    of HOP_LENGTH, wherever the mel's frames are.
    """
    reach = -(-N_FFT // hop_length)
    align = HOP_LENGTH // math.gcd(HOP_LENGTH, hop_length)

    def remove(x: Tensor) -> Tensor:
        return denoiser.remove(x[:, 0], strength)[:, None]

    return Stage("denoised", (signal,), windowed(remove), reach, reach, align)
