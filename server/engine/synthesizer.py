"""What the server needs of a loaded model; `vocoder.synthesizer.Synthesizer` is the real one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vocoder.batching import Utterance
from vocoder.mel.config import MelConfig

__all__ = ["BatchSynthesizer", "Load", "Synthesizer"]


class Synthesizer(Protocol):
    """A model that speaks one mel at a time."""

    @property
    def name(self) -> str:
        """What requests call the model."""

    @property
    def mel_config(self) -> MelConfig:
        """What it expects of a mel."""

    @property
    def sample_rate(self) -> int:
        """Hz of its audio."""

    @property
    def hop_length(self) -> int:
        """Samples of audio per mel frame."""

    def info(self) -> dict[str, Any]:
        """Describe it in JSON."""

    def synthesize(
        self, mel: NDArray[np.float32], *, sigma: float | None = None, seed: int | None = None, denoise: float = 0.0
    ) -> NDArray[np.float32]:
        """Turn a mel (n_mels, frames) into x (frames * hop_length,)."""


@runtime_checkable
class BatchSynthesizer(Protocol):
    """A model that also speaks mels of different lengths together, each as if it stood alone."""

    def synthesize_many(self, utterances: Sequence[Utterance]) -> list[NDArray[np.float32]]:
        """Return the audio of each utterance."""

    def run_frames(self, frames: Sequence[int]) -> int:
        """Return how many frames one run on mels of these lengths computes."""


Load = Callable[[str], Synthesizer]
