"""What the server needs of a loaded model; `vocoder.synthesizer.Synthesizer` is the real one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vocoder.batching import Utterance
from vocoder.mel.config import MelConfig

__all__ = ["BatchSynthesizer", "Load", "StreamSession", "StreamSynthesizer", "Synthesizer"]

Waveform = NDArray[np.float32]


class Synthesizer(Protocol):
    """A model that synthesizes one mel at a time."""

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
        self,
        mel: NDArray[np.float32],
        *,
        sigma: float | None = None,
        seed: int | None = None,
        denoise: float = 0.0,
        corrections: int | None = None,
    ) -> Waveform:
        """Turn a mel (n_mels, frames) into x (frames * hop_length,)."""


@runtime_checkable
class BatchSynthesizer(Protocol):
    """A model that also takes mels of different lengths together, each as if it stood alone."""

    def synthesize_many(self, utterances: Sequence[Utterance]) -> list[Waveform]:
        """Return the audio of each utterance."""

    def run_frames(self, frames: Sequence[int]) -> int:
        """Return how many frames one run on mels of these lengths computes."""


class StreamSession(Protocol):
    """One utterance in parts; `vocoder.streaming.session.StreamSession` is the real one."""

    @property
    def ready(self) -> int:
        """Frames of audio that `next` would return now."""

    @property
    def done(self) -> bool:
        """Whether the mel has ended and all of its audio has been returned."""

    def push(self, mel: NDArray[np.float32]) -> None:
        """Take the next frames (n_mels, frames); computes nothing."""

    def finish(self) -> None:
        """Say that no more frames will come; computes nothing."""

    def next(self) -> Waveform:
        """Compute the next chunk."""


@runtime_checkable
class StreamSynthesizer(Protocol):
    """A model that also computes an utterance in parts, whose audio together is that of `synthesize`."""

    def open_stream(
        self,
        *,
        sigma: float | None = None,
        seed: int | None = None,
        denoise: float = 0.0,
        corrections: int | None = None,
        chunk_frames: int | None = None,
        first_chunk_frames: int | None = None,
    ) -> StreamSession:
        """Open an utterance whose mel comes piece by piece."""


Load = Callable[[str], Synthesizer]
"""from the name or directory of a model"""
