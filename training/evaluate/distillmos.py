"""Naturalness as a network judges it, without the reference."""

from __future__ import annotations

import contextlib
import io
from functools import cache
from typing import Any

import torch

from training.evaluate.metric import Audio
from vocoder.audio.resampling import resample

__all__ = ["naturalness"]

_SAMPLE_RATE = 16000


def naturalness(reference: Audio, generated: Audio, sample_rate: int) -> float:
    """Return the mean opinion score, 1 to 5, that DistillMOS predicts for the generated audio at 16 kHz.

    (Stahl and Gamper, "Distillation and pruning for scalable self-supervised representation-based speech quality
    assessment", 2025.) The reference is not used.
    """
    x_hat = torch.from_numpy(resample(generated, sample_rate, _SAMPLE_RATE))
    with torch.inference_mode():
        return float(_network()(x_hat[None]).mean())


@cache
def _network() -> Any:
    from distillmos import ConvTransformerSQAModel  # optional

    with contextlib.redirect_stdout(io.StringIO()):  # it prints where its weights lie
        return ConvTransformerSQAModel().eval()
