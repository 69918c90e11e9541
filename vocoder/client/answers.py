"""Read what the server sends: HTTP answers, and the messages and the end of a WebSocket stream."""

import asyncio
import json
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from traceback import walk_stack
from typing import Annotated, Any, TypeVar
from urllib.parse import unquote

import numpy as np
from httpx import Response
from numpy.typing import NDArray
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from vocoder.audio.writing import Origin
from vocoder.client.errors import BadAnswerError, IncompleteError, NoAnswerError, error_of, read_problem, reading_answer
from vocoder.config import Checked, Count, from_dict
from vocoder.mel.config import MelConfig, MelWarning
from vocoder.npy import read_array

T = TypeVar("T")
REFUSED = (1002, 1007, 1009)
"""codes with which the client closes: protocol error, not UTF-8, too large (RFC 6455, section 7.4.1)"""
INSIDE = tuple(str(Path(file).parent) for file in (__file__, asyncio.__file__))
"""folders whose lines no warning is about"""


@dataclass(frozen=True)
class MelVerdict:
    """Verdict of the server's mel guard.

    `cause` is `typical`, `too-short`, `unfamiliar`, or what the mel looks like, such as `log10`. If the mel is not
    typical, `message` says what to do, and `preset` names the preset it looks like. `typicality` is the percentage of
    true mels that are less likely; None if there is too little to judge, or the guard does not know the mel config.
    """

    typical: bool
    cause: str
    typicality: float | None = None
    message: str | None = None
    preset: str | None = None

    @classmethod
    def of_headers(cls, headers: Mapping[str, str]) -> "MelVerdict | None":
        """Read the verdict from the headers of an answer; None if there is none."""
        if (cause := headers.get("X-Mel-Guard")) is None:
            return None
        share, message, preset = (headers.get(f"X-Mel-Guard-{name}") for name in ("Typicality", "Message", "Preset"))
        return cls(message is None, cause, None if share is None else float(share), message, preset)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "MelVerdict":
        """Read the verdict from a member of a message."""
        verdict = _from_fields(cls, document, "guard")
        return replace(verdict, message=None) if verdict.typical else verdict


@dataclass(frozen=True)
class Speech(Checked):
    """Audio x (T,), float32 with full scale 1, its sample_rate in Hz, and the model and seed that produced it.

    `guard` is the verdict of the mel guard, or None. `origin` says where the audio comes from, or is None;
    `write_audio(..., origin=speech.origin)` stores it in a file. `adapted` names the adapter of the mel, if any,
    `recognised` is the mel config recognised with `preset="auto"`, and `sharpened` is the strength at which the end of
    a smooth mel was sharpened, 0 to 1.
    """

    x: NDArray[np.float32]
    sample_rate: Count
    model: str
    seed: int
    guard: MelVerdict | None = None
    origin: Origin | None = None
    adapted: str | None = None
    recognised: str | None = None
    sharpened: float = 0.0


@dataclass(frozen=True)
class StreamStart(Checked):
    """Announcement of a stream before its first audio: the model, the sample rate and the shape of frames.

    `n_mels` is the number of bands of the frames to send, `hop_length` is the model's, `adapted` names any adapter.
    """

    model: str
    seed: int
    sample_rate: Count
    n_mels: Annotated[int, (1, 2**12)]
    hop_length: Count
    adapted: str | None = None


@dataclass(frozen=True)
class StreamEnd:
    """Summary of a stream: frames of the mel, samples of audio, seconds of queueing and of inference.

    `guard` is the verdict of the mel guard on the start of the mel, or None; for `sharpened` see `Speech`.
    `dry_seconds` is how long playback had to pause after the first audio because the server was late.
    """

    frames: int
    samples: int
    queue_seconds: float
    infer_seconds: float
    guard: MelVerdict | None = None
    sharpened: float = 0.0
    dry_seconds: float = 0.0

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "StreamEnd":
        """Read the message `done`."""
        guard = document.get("guard")
        return _from_fields(cls, {**document, "guard": None if guard is None else MelVerdict.of(guard)}, "done")


@dataclass(frozen=True)
class ModelInfo:
    """A model of the server: its name for requests, and its state: "ready", "loading" or "failed".

    `mel_config` is None until the model is ready. `details` holds the whole entry: family, parameters, provenance,
    quality, limits.
    """

    name: str
    state: str
    mel_config: MelConfig | None
    details: Mapping[str, Any]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "ModelInfo":
        """Read one entry of the server's list."""
        mel = document.get("mel")
        config = None if mel is None else _from_fields(MelConfig, mel, "mel")
        if not isinstance(document["name"], str) or not isinstance(document["state"], str):
            raise TypeError("name and state of a model must be strings")
        return cls(document["name"], document["state"], config, document)


def _from_fields(cls: type[T], document: Mapping[str, Any], where: str) -> T:
    """Read a dataclass from a document, ignoring unknown members, which may be newer than this client."""
    known = [item.name for item in fields(cls)]  # type: ignore[arg-type]
    return from_dict(cls, {name: document[name] for name in known if name in document}, where)


@reading_answer()
def read_speech(answer: Response) -> Speech:
    """Read the audio of an answer; raises a BadAnswerError if there is none, or if samples are not finite."""
    headers = answer.headers
    x, rate, seed = _read_npy(answer.content, 1), int(headers["X-Sample-Rate"]), int(headers["X-Seed"])
    origin = Origin.of_json(headers.get("X-Audio-Origin", ""))
    verdict, adapted = MelVerdict.of_headers(headers), headers.get("X-Mel-Adapted")
    recognised, sharpened = headers.get("X-Mel-Recognised"), float(headers.get("X-Mel-Sharpened", 0.0))
    return Speech(x, rate, unquote(headers["X-Model"]), seed, verdict, origin, adapted, recognised, sharpened)


def warn_of(result: Speech | StreamEnd | None) -> None:
    """Issue a warning if the mel is not typical, at the line of the thread that called the client."""
    if result is not None and result.guard is not None and not result.guard.typical:
        files = (frame.f_code.co_filename for frame, _ in walk_stack(sys._getframe()))
        level = next((level for level, file in enumerate(files, 1) if not file.startswith(INSIDE)), 1)
        warnings.warn(MelWarning(result.guard.message), stacklevel=level)


@reading_answer()
def read_mel(answer: Response) -> NDArray[np.float32]:
    """Read the mel (n_mels, frames) of an answer; raises a BadAnswerError if there is none."""
    return _read_npy(answer.content, 2)


@reading_answer()
def read_models(answer: Response) -> list[ModelInfo]:
    """Read the models of an answer; raises a BadAnswerError if there are none."""
    return [ModelInfo.of(document) for document in json.loads(answer.content)["models"]]


def read_message(message: str | bytes) -> NDArray[np.float32] | StreamStart | StreamEnd:
    """Read audio, the start or the end of a stream; raises the VocoderError of a problem, or else a BadAnswerError."""
    with reading_answer():
        if isinstance(message, bytes):
            x = np.frombuffer(message, "<f4").astype(np.float32)
            if not np.isfinite(x).all():
                raise ValueError("samples that are not finite")
            return x
        document = json.loads(message)
        if document["type"] == "ready":
            return _from_fields(StreamStart, document, "ready")
        if document["type"] == "done":
            return StreamEnd.of(document)
        problem = read_problem(int(document["status"]), message)
    raise error_of(problem)


def connection_error(error: OSError | WebSocketException) -> Exception:
    """Translate an exception of the connection to a VocoderError."""
    if isinstance(error, InvalidStatus):
        response = error.response
        return error_of(read_problem(response.status_code, bytes(response.body), response.headers.get("Retry-After")))
    if isinstance(error, ConnectionClosed):
        end, own = error.rcvd, error.sent
        if own is not None and own.code in REFUSED:
            return BadAnswerError(f"the server sent an invalid message: {own.reason}")
        how = "without a close code" if end is None else f"with code {end.code} {end.reason}".rstrip()
        return IncompleteError(f"the stream ended {how} before all of its audio had arrived")
    if isinstance(error, TimeoutError):
        return NoAnswerError("the server sent nothing before the timeout")
    return NoAnswerError(f"the server could not be reached: {error}")


def _read_npy(body: bytes, dimensions: int) -> NDArray[np.float32]:
    array = read_array(body, ("<f4",)).astype(np.float32)  # a copy, so that the body is freed
    if array.ndim != dimensions or not np.isfinite(array).all():
        raise ValueError(f"an array of {array.ndim} dimensions, or values that are not finite")
    return array
