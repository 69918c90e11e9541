"""The text messages of a WebSocket."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from server.problems import Problem, invalid_parameters
from server.request.asked import StreamHello
from server.request.telling import path_members
from server.stream.encoder import StreamEncoder
from vocoder.adapt.path import MelPath
from vocoder.guard.automatic import AUTO
from vocoder.guard.verdict import Verdict

__all__ = ["check_end", "done_message", "read_hello", "ready_message"]

MAX_HELLO = 16384  # characters


class _End(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    end: Literal[True]


def read_hello(text: str) -> StreamHello:
    """Read the first message.

    Raises:
        Problem: 400 not JSON, 413 too long, 422 an invalid member.
    """
    if len(text) > MAX_HELLO:
        raise Problem("body-too-large", f"The first message has at most {MAX_HELLO} characters.")
    try:
        return StreamHello.model_validate_json(text)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        if any(entry["type"] == "json_invalid" for entry in errors):
            raise Problem("malformed-body", "The first message must be a JSON object.") from None
        entries = [{**entry, "loc": ("hello", *entry["loc"])} for entry in errors]
        raise invalid_parameters(entries, StreamHello.model_fields) from None


def check_end(text: str) -> None:
    """Check that a later text message marks the end of the mel.

    Raises:
        Problem: 400 it says anything else.
    """
    try:
        _End.model_validate_json(text)
    except ValidationError:
        detail = 'After the first message, the only text message is {"end": true}; frames are binary messages.'
        raise Problem("malformed-body", detail) from None


def ready_message(hello: StreamHello, model: str, path: MelPath, sample_rate: int, seed: int | None) -> dict[str, Any]:
    """Return what a client is told before it sends frames."""
    return {
        "type": "ready",
        "model": model,
        "seed": seed,
        "format": hello.format,
        "sample_rate": sample_rate,
        "n_mels": path.source.n_mels,
        "hop_length": path.target.hop_length,
        **({"preset": AUTO} if hello.preset == AUTO else path_members(path)),
    }


def done_message(
    hello: StreamHello, frames: int, encoder: StreamEncoder, verdict: Verdict | None, path: MelPath
) -> dict[str, Any]:
    """Return what a client is told after the last audio."""
    return {
        "type": "done",
        "frames": frames,
        "samples": encoder.samples,
        "clipped": encoder.clipped,
        "sample_rate": encoder.sample_rate,
        **encoder.rounded_seconds(),
        **path_members(path),
        **({"recognised": path.source.name} if hello.preset == AUTO else {}),
        **({} if verdict is None else {"guard": verdict.as_dict()}),
    }
