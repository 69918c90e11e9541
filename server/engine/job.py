"""What goes into an engine and what comes out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

__all__ = ["Priority", "Speech", "SynthesisError", "Ticket", "check_output"]

# By their names: any synthesizer may run here, and not every one is torch's.
OUT_OF_MEMORY = frozenset({"OutOfMemoryError"})
FATAL = frozenset({"AcceleratorError"})


class Priority(IntEnum):
    """Who goes first among those that wait: the smaller number; among equals, who came first."""

    FIRST_CHUNK = 0
    """the start of a stream, which somebody waits to hear"""
    NORMAL = 1


@dataclass(frozen=True)
class Ticket:
    """One synthesis to do: a mel (n_mels, frames) in the model's own contract, and how to draw the noise.

    `deadline` is the time, of `time.monotonic`, after which nobody wants the answer.
    """

    mel: NDArray[np.float32]
    sigma: float | None
    seed: int
    denoise: float
    priority: Priority = Priority.NORMAL
    deadline: float | None = None

    @property
    def frames(self) -> int:
        """Length of the mel."""
        return int(self.mel.shape[1])


@dataclass(frozen=True)
class Speech:
    """What came of a ticket: x (T,) at sample_rate, the seconds it waited and computed, and in how large a batch."""

    x: NDArray[np.float32]
    sample_rate: int
    queue_seconds: float
    infer_seconds: float
    batch_items: int = 1


class SynthesisError(Exception):
    """The model failed on one ticket.

    Attributes:
        out_of_memory: whether memory was the reason.
        fatal: whether the device is lost, so that nothing will ever run on it again in this process.
    """

    def __init__(self, message: str, out_of_memory: bool = False, fatal: bool = False) -> None:
        super().__init__(message)
        self.out_of_memory = out_of_memory
        self.fatal = fatal

    @classmethod
    def of(cls, error: Exception) -> SynthesisError:
        """Wrap whatever a model raised, without its text, which may hold anything."""
        if isinstance(error, cls):
            return error
        name = type(error).__name__
        out_of_memory = isinstance(error, MemoryError) or name in OUT_OF_MEMORY
        fatal = name in FATAL or (isinstance(error, RuntimeError) and "CUDA error" in str(error))
        return cls(f"the model failed with {name}", out_of_memory, fatal and not out_of_memory)


def check_output(x: NDArray[np.float32], frames: int, hop_length: int) -> None:
    """Raise SynthesisError unless x is the finite waveform (frames * hop_length,) that a mel of `frames` asks for."""
    if x.shape != (frames * hop_length,):
        raise SynthesisError("the model gave a waveform of the wrong length")
    if not np.isfinite(x).all():
        raise SynthesisError("the model gave samples that are not finite")
