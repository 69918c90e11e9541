"""Speak mels of different lengths together, each exactly as if it stood alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Utterance"]


@dataclass(frozen=True)
class Utterance:
    """One mel (n_mels, frames), tensor or array, and how to speak it: as the arguments of `synthesize` say."""

    mel: Any
    sigma: float | None = None
    seed: int | None = None
    denoise: float = 0.0
