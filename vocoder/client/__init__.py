"""A client of the vocoder service, for programs that make mels: `Client`, and `AsyncClient` for asyncio.

It needs the extra `client`; nothing else of the package imports it.
"""

try:
    import httpx  # noqa: F401
    import websockets  # noqa: F401
except ImportError as error:
    raise ImportError("vocoder.client needs httpx and websockets: pip install '.[client]'") from error

from vocoder.client.answers import MelVerdict, ModelInfo, Speech, StreamEnd, StreamStart
from vocoder.client.async_client import AsyncClient, AsyncSpeechStream
from vocoder.client.errors import (
    AuthenticationError,
    BadAnswerError,
    IncompleteError,
    InvalidRequestError,
    NoAnswerError,
    Problem,
    RateLimitedError,
    Retries,
    ServerError,
    UnavailableError,
    UnknownModelError,
    VocoderError,
)
from vocoder.client.sync_client import Client, SpeechStream

__all__ = [
    "AsyncClient",
    "AsyncSpeechStream",
    "AuthenticationError",
    "BadAnswerError",
    "Client",
    "IncompleteError",
    "InvalidRequestError",
    "MelVerdict",
    "ModelInfo",
    "NoAnswerError",
    "Problem",
    "RateLimitedError",
    "Retries",
    "ServerError",
    "Speech",
    "SpeechStream",
    "StreamEnd",
    "StreamStart",
    "UnavailableError",
    "UnknownModelError",
    "VocoderError",
]
