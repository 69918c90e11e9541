"""Messages of a WebSocket stream."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from vocoder.client.answers import StreamEnd, StreamStart
from vocoder.client.errors import BadAnswerError, IncompleteError, NoAnswerError, error_of, read_problem, understood
from vocoder.client.requests import SpeechOptions, to_array, used

END = '{"end": true}'
MESSAGE_FRAMES = 256
REFUSED = (1002, 1007, 1009)
"""codes with which this side closes: not the protocol, not UTF-8, too large (RFC 6455, section 7.4.1)"""

Message = NDArray[np.float32] | StreamStart | StreamEnd


def stream_address(url: str) -> str:
    """Return the address for streams of a server."""
    return f"{url.rstrip('/').replace('http', 'ws', 1)}/v1/stream"


def hello(options: SpeechOptions) -> str:
    """Return the first message, which asks for audio as floats."""
    return json.dumps({**used(options), "format": "pcm_f32"})


def frame_messages(piece: Any, n_mels: int) -> Iterator[bytes]:
    """Yield the messages for frames of a mel: one (n_mels,), or several (n_mels, frames).

    A message holds frame after frame; the server cannot see where one ends. Raises a ValueError for another shape.
    """
    mel = to_array(piece)
    mel = mel[:, None] if mel.ndim == 1 else mel
    if mel.ndim != 2 or mel.shape[0] != n_mels:
        hint = "; it looks transposed" if mel.ndim == 2 and mel.shape[1] == n_mels else ""
        raise ValueError(f"a piece of a mel is ({n_mels},) or ({n_mels}, frames), not {np.shape(piece)}{hint}")
    for start in range(0, mel.shape[1], MESSAGE_FRAMES):
        yield np.ascontiguousarray(mel[:, start : start + MESSAGE_FRAMES].T, "<f4").tobytes()


def read_message(message: str | bytes) -> Message:
    """Return what a message of the server holds: audio, the start or the end.

    Raises a VocoderError if it is a problem, and a BadAnswerError if it is no message of a server.
    """
    with understood():
        if isinstance(message, bytes):
            x = np.frombuffer(message, "<f4").astype(np.float32)
            if not np.isfinite(x).all():
                raise ValueError("samples that are not finite")
            return x
        document = json.loads(message)
        if document["type"] == "ready":
            return StreamStart.of(document)
        if document["type"] == "done":
            return StreamEnd.of(document)
        problem = read_problem(int(document["status"]), message)
    raise error_of(problem)


def connection_error(error: Exception) -> Exception:
    """Translate an exception of the connection; return any other unchanged."""
    if isinstance(error, InvalidStatus):
        response = error.response
        return error_of(read_problem(response.status_code, bytes(response.body), response.headers.get("Retry-After")))
    if isinstance(error, ConnectionClosed):
        end, own = error.rcvd, error.sent
        if own is not None and own.code in REFUSED:
            return BadAnswerError(f"the server sent what no vocoder sends: {own.reason}")
        how = "without a word" if end is None else f"with code {end.code} {end.reason}".rstrip()
        return IncompleteError(f"the stream ended {how} before all of its audio had come")
    if isinstance(error, TimeoutError):
        return NoAnswerError("nothing came from the server in time")
    if isinstance(error, (OSError, WebSocketException)):
        return NoAnswerError(f"the server could not be reached: {error}")
    return error
