"""How a WebSocket says what it is going to send, and how to speak it."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from server.problems import Problem, invalid_parameters
from server.request.query import Denoise, ModelName, PresetName, SampleRate, Seed, Sigma
from vocoder.guard.opinion import GuardMode

__all__ = ["StreamHello", "check_end", "read_hello"]

MAX_HELLO = 4096  # characters
DTYPES: dict[str, np.dtype[Any]] = {"float32": np.dtype("<f4"), "float16": np.dtype("<f2")}


class StreamHello(BaseModel):
    """The first message of a client; everything has a default. `dtype` is that of the frames it will send."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: ModelName = None
    sigma: Sigma = None
    seed: Seed = None
    denoise: Denoise = 0.0
    preset: PresetName = None
    format: Literal["pcm", "pcm_f32", "wav", "wav_f32", "flac", "opus"] = "pcm"
    sample_rate: SampleRate = None
    dtype: Literal["float32", "float16"] = "float32"
    guard: GuardMode | None = None

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
