"""The stages that correct audio after the model has made it."""

from __future__ import annotations

import math
from functools import partial

from torch import Tensor

from vocoder.denoiser import HOP_LENGTH, N_FFT, Denoiser
from vocoder.layers.mel_consistency import MelConsistency
from vocoder.stages import MEL, Stage, windowed

__all__ = ["correction_stages", "denoising_stage"]


def correction_stages(consistency: MelConsistency, signal: str) -> list[Stage]:
    """Return a stage for each step of the correction of `signal` (B, 1, T) towards its mel."""

    def correct(i: int, x: Tensor, before: Tensor, mel: Tensor) -> Tensor:
        return consistency.step(i, x[:, 0], before[:, 0], mel)[:, None]

    stages, before, reach = [], signal, consistency.reach
    for i in range(consistency.steps):
        inputs = (signal, before, MEL)
        stage = Stage(f"correction {i}", inputs, windowed(partial(correct, i)), reach, reach, consistency.grids)
        stages.append(stage)
        before, signal = signal, stage.output
    return stages


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
