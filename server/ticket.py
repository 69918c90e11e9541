"""What goes into an engine and what comes out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Speech", "SynthesisError", "Ticket", "check_output"]


@dataclass(frozen=True)
class Ticket:
    """One synthesis to do: a mel (n_mels, frames) in the model's own contract, and how to draw the noise."""

    mel: NDArray[np.float32]
    sigma: float | None
    seed: int
    denoise: float

    @property
    def frames(self) -> int:
        """Length of the mel."""
        return int(self.mel.shape[1])


@dataclass(frozen=True)
class Speech:
    """What came of a ticket: x (T,) at sample_rate, and the seconds it waited and computed."""

    x: NDArray[np.float32]
    sample_rate: int
    queue_seconds: float
    infer_seconds: float


class SynthesisError(Exception):
    """The model failed on one ticket; `out_of_memory` tells whether memory was the reason."""

    def __init__(self, message: str, out_of_memory: bool = False) -> None:
        super().__init__(message)
        self.out_of_memory = out_of_memory

    @classmethod
    def of(cls, error: Exception) -> SynthesisError:
        """Wrap whatever a model raised, without its text, which may hold anything."""
        if isinstance(error, cls):
            return error
        # torch.OutOfMemoryError by its name: any synthesizer may run here, and not every one is torch's.
        out_of_memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
        return cls(f"the model failed with {type(error).__name__}", out_of_memory)


def check_output(x: NDArray[np.float32], frames: int, hop_length: int) -> None:
    """Raise SynthesisError unless x is the finite waveform (frames * hop_length,) that a mel of `frames` asks for."""
    if x.shape != (frames * hop_length,):
        raise SynthesisError("the model gave a waveform of the wrong length")
    if not np.isfinite(x).all():
        raise SynthesisError("the model gave samples that are not finite")
