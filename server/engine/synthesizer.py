"""What the server needs of a model. `vocoder.synthesizer.Synthesizer` is the real one; tests bring others.

Keyword arguments are those of `vocoder.sampling.voice_of`.
"""

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
        """The model's name in requests."""

    @property
    def mel_config(self) -> MelConfig:
        """The mel config of the model."""

    @property
    def sample_rate(self) -> int:
        """Hz of its audio."""

    @property
    def hop_length(self) -> int:
        """Samples of audio per mel frame."""

    def info(self) -> dict[str, Any]:
        """Describe the model in JSON."""

    def synthesize(self, mel: NDArray[np.float32], *args: Any, **voice: Any) -> Waveform:
        """Turn a mel (n_mels, frames) into x (frames * hop_length,)."""


@runtime_checkable
class BatchSynthesizer(Protocol):
    """A model that can also synthesize several mels in one run, each as if it were alone."""

    def synthesize_many(self, utterances: Sequence[Utterance]) -> list[Waveform]:
        """Return the audio of each utterance."""

    def run_frames(self, frames: Sequence[int]) -> int:
        """Return the frames that one run on mels of these lengths computes."""


class StreamSession(Protocol):
    """One utterance in chunks; `vocoder.streaming.session.StreamSession` is the real one."""

    @property
    def ready(self) -> int:
        """Frames of audio that `next` would return now."""

    @property
    def done(self) -> bool:
        """Whether the mel has ended and all of its audio has been returned."""

    def push(self, mel: NDArray[np.float32]) -> None:
        """Take the next frames (n_mels, frames). Computes nothing."""

    def finish(self) -> None:
        """Mark the end of the mel. Computes nothing."""

    def next(self) -> Waveform:
        """Compute the next chunk."""


@runtime_checkable
class StreamSynthesizer(Protocol):
    """A model that can also synthesize in chunks, with the same audio as `synthesize`."""

    def open_stream(self, *args: Any, **voice: Any) -> StreamSession:
        """Open an utterance. `chunk_frames` and `first_chunk_frames` set the frames of a chunk."""


Load = Callable[[str], Synthesizer]
"""from the name or directory of a model"""
