"""A client of the vocoder service, for programs that produce mels: `Client`, and `AsyncClient` for asyncio.

It needs the optional dependencies `client`; nothing else in the package imports it.
"""

try:
    import httpx  # noqa: F401
    import websockets  # noqa: F401
except ImportError as error:
    raise ImportError("vocoder.client needs httpx and websockets: pip install '.[client]'") from error

from vocoder.client.answers import MelVerdict as MelVerdict
from vocoder.client.answers import ModelInfo as ModelInfo
from vocoder.client.answers import Speech as Speech
from vocoder.client.answers import StreamEnd as StreamEnd
from vocoder.client.answers import StreamStart as StreamStart
from vocoder.client.async_client import AsyncClient as AsyncClient
from vocoder.client.async_client import AsyncSpeechStream as AsyncSpeechStream
from vocoder.client.errors import AuthenticationError as AuthenticationError
from vocoder.client.errors import BadAnswerError as BadAnswerError
from vocoder.client.errors import IncompleteError as IncompleteError
from vocoder.client.errors import InvalidRequestError as InvalidRequestError
from vocoder.client.errors import NoAnswerError as NoAnswerError
from vocoder.client.errors import Problem as Problem
from vocoder.client.errors import RateLimitedError as RateLimitedError
from vocoder.client.errors import Retries as Retries
from vocoder.client.errors import ServerError as ServerError
from vocoder.client.errors import UnavailableError as UnavailableError
from vocoder.client.errors import UnknownModelError as UnknownModelError
from vocoder.client.errors import VocoderError as VocoderError
from vocoder.client.sync_client import Client as Client
from vocoder.client.sync_client import SpeechStream as SpeechStream
