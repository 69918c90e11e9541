"""The text messages of a WebSocket: how a client asks, and what it is told before and after the audio."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from server.mel.path import StatisticsValues
from server.problems import Problem, invalid_parameters
from server.request.synthesis_request import (
    Adapt,
    Corrections,
    Denoise,
    ModelName,
    PresetName,
    SampleRate,
    Seed,
    Sigma,
    StatisticsNumbers,
)
from server.stream.encoder import StreamEncoder
from vocoder.adapt.path import MelPath
from vocoder.guard.automatic import AUTO
from vocoder.guard.opinion import GuardMode
from vocoder.guard.verdict import Verdict

__all__ = ["StreamHello", "check_end", "done_message", "read_hello", "ready_message", "rounded_seconds"]

MAX_HELLO = 16384  # characters
DTYPES: dict[str, np.dtype[Any]] = {"float32": np.dtype("<f4"), "float16": np.dtype("<f2")}


class StreamHello(BaseModel):
    """The first message of a client; everything has a default. `dtype` is that of the frames it will send."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: ModelName = None
    sigma: Sigma = None
    seed: Seed = None
    denoise: Denoise = 0.0
    corrections: Corrections = None
    preset: PresetName = None
    adapt: Adapt = "on"
    mean: StatisticsNumbers = None
    variance: StatisticsNumbers = None
    format: Literal["pcm", "pcm_f32", "wav", "wav_f32", "flac", "opus"] = "pcm"
    sample_rate: SampleRate = None
    dtype: Literal["float32", "float16"] = "float32"
    guard: GuardMode | None = None

    @property
    def statistics(self) -> tuple[StatisticsValues, StatisticsValues]:
        """What the mel was normalised by."""
        return self.mean, self.variance

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """The type of the values of a frame."""
        return DTYPES[self.dtype]


class _End(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    end: Literal[True]


def read_hello(text: str) -> StreamHello:
    """Read the first message.

    Raises:
        Problem: 400 not JSON, 422 a member that is not valid.
    """
    if len(text) > MAX_HELLO:
        raise Problem(413, "body-too-large", f"The first message has at most {MAX_HELLO} characters.")
    try:
        return StreamHello.model_validate_json(text)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        if any(entry["type"] == "json_invalid" for entry in errors):
            raise Problem(400, "malformed-body", "The first message must be a JSON object.") from None
        entries = [{**entry, "loc": ("hello", *entry["loc"])} for entry in errors]
        raise invalid_parameters(entries, StreamHello.model_fields) from None


def check_end(text: str) -> None:
    """Check that a later message says that the mel has ended.

    Raises:
        Problem: 400 it says anything else.
    """
    try:
        _End.model_validate_json(text)
    except ValidationError:
        detail = 'After the first message, text may only be {"end": true}; frames come as binary messages.'
        raise Problem(400, "malformed-body", detail) from None


def ready_message(hello: StreamHello, model: str, path: MelPath, sample_rate: int, seed: int) -> dict[str, Any]:
    """Return what a client is told before it sends frames.

    Args:
        hello: its first message.
        model: that synthesizes.
        path: from the frames that it sends to the model's.
        sample_rate: Hz of the audio.
        seed: of the noise.
    """
    return {
        "type": "ready",
        "model": model,
        "seed": seed,
        "format": hello.format,
        "sample_rate": sample_rate,
        "n_mels": path.source.n_mels,
        "hop_length": path.target.hop_length,
        **({"preset": AUTO} if hello.preset == AUTO else told_of(path)),
    }


def told_of(path: MelPath) -> dict[str, Any]:
    """Return what a client is told of what is done to its frames, where anything is."""
    if path.own:
        return {}
    return {"preset": path.source.name, "adapted": path.adapted, "adapter_lookahead": path.lookahead}


def done_message(
    frames: int, encoder: StreamEncoder, verdict: Verdict | None, path: MelPath, recognised: bool
) -> dict[str, Any]:
    """Return what a client is told after the last audio.

    Args:
        frames: of its mel.
        encoder: of the audio.
        verdict: of the mel guard, if it has one.
        path: from its frames to the model's.
        recognised: whether the mel itself told its contract.
    """
    return {
        "type": "done",
        "frames": frames,
        "samples": encoder.samples,
        "clipped": encoder.clipped,
        "sample_rate": encoder.sample_rate,
        **rounded_seconds(encoder),
        **told_of(path),
        **({"recognised": path.source.name} if recognised else {}),
        **({} if verdict is None else {"guard": verdict.as_dict()}),
    }


def rounded_seconds(encoder: StreamEncoder) -> dict[str, float]:
    """Return how long the chunks waited and took, and the first audio took to come, as far as there was any."""
    seconds = {"queue_seconds": encoder.queue_seconds, "infer_seconds": encoder.infer_seconds}
    if encoder.first_audio_seconds is not None:
        seconds["first_audio_seconds"] = encoder.first_audio_seconds
    return {name: round(value, 6) for name, value in seconds.items()}
