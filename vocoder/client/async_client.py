"""The client for asyncio, which `Client` runs on a thread."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Literal, TypeVar, Unpack
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpx
import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from vocoder.client import answers, requests
from vocoder.client.answers import ModelInfo, Speech, StreamEnd, StreamStart
from vocoder.client.errors import BadAnswerError, NoAnswerError, Retries, VocoderError, error_of, read_problem
from vocoder.client.requests import Audio, Call, SpeechOptions

T = TypeVar("T")

MAX_BYTES = 2**28


class _Connect(connect):
    """Opens a WebSocket without following redirects, which would receive the API key."""

    def process_redirect(self, exc: Exception) -> Exception:
        """Return the error unchanged."""
        return exc


class AsyncClient(AbstractAsyncContextManager["AsyncClient"]):
    """Asynchronous client of a vocoder server, for one event loop; an asynchronous context manager.

    Args:
        url: address of the server, such as http://127.0.0.1:8000.
        api_key: API key, if the server requires one.
        timeout: seconds to wait for a whole answer, or for the next audio of a stream.
        retries: when to repeat a request.
        trust_env: whether to use proxies from the environment.
        max_bytes: the largest accepted answer, or message of a stream.

    Raises a ValueError if the address is not HTTP, a header cannot hold the key, or the proxy needs a missing package.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout: float = 60.0,
        retries: Retries = Retries(),  # noqa: B008 - frozen
        trust_env: bool = True,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise ValueError(f"the server's address must start with http: or https:, not {url!r}")
        self._streams = f"ws{url.rstrip('/')[4:]}/v1/stream"
        self._max_bytes = max_bytes
        self._headers = requests.authorization(api_key)
        self._timeout = timeout
        self._retries = retries
        self._trust_env = trust_env
        self._loop: asyncio.AbstractEventLoop | None = None
        # Compressed answers are refused, since a small one may expand until memory is full.
        headers, base = self._headers | {"Accept-Encoding": "identity"}, f"{url.rstrip('/')}/"
        try:
            self._http = httpx.AsyncClient(base_url=base, headers=headers, timeout=timeout, trust_env=trust_env)
        except ImportError as error:
            fault = "the environment names a SOCKS proxy: install httpx[socks], or pass trust_env=False"
            raise ValueError(fault) from error

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections but those of streams, which end with their blocks."""
        await self._http.aclose()

    async def models(self) -> list[ModelInfo]:
        """Return the models of the server, the default first; raises a VocoderError as `synthesize` does."""
        return answers.read_models(await self._again(self._send, requests.MODELS))

    async def synthesize(self, mel: Any, **options: Unpack[SpeechOptions]) -> Speech:
        """Turn a mel (n_mels, frames), array or tensor, into audio.

        The mel follows the model's mel config, or that of `preset`; `SpeechOptions` describes the options.

        Raises:
            VocoderError: the server did not answer, refused or failed; each case has its own subclass.
            TypeError: the mel does not hold floats, or an option is unknown or has the wrong type.
            ValueError: the mel is masked or ragged, or values of an option are not numbers.
        """
        speech = await self.speech(mel, options)
        answers.warn_of(speech)
        return speech

    async def speech(self, mel: Any, options: SpeechOptions) -> Speech:
        """Return what `synthesize` does, without a warning."""
        return answers.read_speech(await self._again(self._send, requests.synthesis_call(mel, options)))

    async def mel(
        self, audio: Audio, sample_rate: int | None = None, *, model: str | None = None, preset: str | None = None
    ) -> NDArray[np.float32]:
        """Compute the mel (n_mels, frames) of audio (T,) for a model or preset.

        It has `MelConfig.frames(T)` frames: one more than T // hop_length if the first is centred on the start.

        Args:
            audio: path or content of a sound file, or samples (T,): floats in [-1, 1] or 16-bit integers.
            sample_rate: rate of samples in Hz; not for files.
            model: a name from `models()`.
            preset: a mel preset, instead of a model.

        Raises the errors of `synthesize`, a ValueError for samples that are not finite, not (T,) or without a rate and
        for a file with one, and an OSError if the file cannot be read.
        """
        return answers.read_mel(await self._again(self._send, requests.mel_call(audio, sample_rate, model, preset)))

    @asynccontextmanager
    async def stream(self, mel: Any, **options: Unpack[SpeechOptions]) -> AsyncIterator["AsyncSpeechStream"]:
        """Synthesize a mel as it arrives: `async with client.stream(frames) as speech: async for x in speech: ...`.

        The mel is an array or tensor (n_mels, frames), or an iterable, possibly asynchronous, of frames (n_mels,) and
        pieces (n_mels, frames).

        Raises:
            VocoderError: as in `synthesize`, at any time; IncompleteError if the connection is lost.
            ValueError: a piece has the wrong number of bands; raised when it is reached.
        """
        async with self.open_stream(options) as stream:
            sending = asyncio.create_task(stream.send(requests.pieces_of(mel)))
            try:
                yield stream
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)

    @asynccontextmanager
    async def open_stream(self, options: SpeechOptions) -> AsyncIterator["AsyncSpeechStream"]:
        """Open a stream as `stream` does, for callers that send the frames themselves."""
        connection, start = await self._again(self._dial, options)
        async with connection:
            stream = AsyncSpeechStream(connection, start, self._timeout)
            try:
                yield stream
            finally:
                if stream.end is None:  # left early: an orderly end would wait behind unread audio
                    connection.transport.abort()

    async def _dial(self, options: SpeechOptions) -> tuple[ClientConnection, StreamStart]:
        """Open a connection, and wait for `ready`."""
        proxy: Literal[True] | None = True if self._trust_env else None
        first = requests.hello(options)
        limits: dict[str, Any] = {"open_timeout": self._timeout, "compression": None, "max_size": self._max_bytes}
        limits["ping_timeout"] = None  # a pong may have to wait behind unread audio
        try:
            async with AsyncExitStack() as until_ready:
                dialled = _Connect(self._streams, additional_headers=self._headers, proxy=proxy, **limits)
                connection = await until_ready.enter_async_context(dialled)
                await connection.send(first)
                async with asyncio.timeout(self._timeout):
                    start = answers.read_message(await connection.recv())
                if not isinstance(start, StreamStart):
                    raise BadAnswerError("the server's first message was not `ready`")
                until_ready.pop_all()
        except (OSError, WebSocketException) as error:
            raise answers.connection_error(error) from error
        return connection, start

    async def _send(self, call: Call) -> httpx.Response:
        loop = asyncio.get_running_loop()
        if self._loop not in (None, loop):  # its open connections belong to the first
            raise RuntimeError("this client belongs to another event loop: create one in each")
        self._loop = loop
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._read(call)
        except (httpx.HTTPError, TimeoutError, OSError) as error:
            base, why = self._http.base_url, str(error) or f"timeout of {self._timeout:g} s"  # timeouts have no message
            # The message omits the path and the user, which may contain a password.
            proxies = getproxies() if self._trust_env else {}
            hint = " (through a proxy of the environment?)" if {base.scheme, "all"} & proxies.keys() else ""
            raise NoAnswerError(f"{base.scheme}://{base.netloc.decode()} did not answer: {why}{hint}") from error
        if not answer.is_success:
            raise error_of(read_problem(answer.status_code, answer.content, answer.headers.get("Retry-After")))
        return answer

    async def _read(self, call: Call) -> httpx.Response:
        """Return the answer to a request; give up as soon as it exceeds `max_bytes`."""
        async with self._http.stream(**call) as response:
            if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise BadAnswerError("the answer is compressed, which was not requested")
            content = bytearray()
            async for part in response.aiter_raw():
                content += part
                if len(content) > self._max_bytes:
                    raise BadAnswerError(f"the answer is larger than {self._max_bytes} bytes (max_bytes)")
            return httpx.Response(response.status_code, headers=response.headers, content=bytes(content))

    async def _again(self, attempt: Callable[[Any], Awaitable[T]], given: Any) -> T:
        done = 0
        while True:
            try:
                return await attempt(given)
            except VocoderError as error:
                wait = self._retries.wait(error, done)
                if wait is None:
                    raise
            await asyncio.sleep(wait)
            done += 1


class AsyncSpeechStream:
    """Yields audio x (T,), float32, as it arrives; afterwards `end` holds the summary."""

    def __init__(self, connection: ClientConnection, start: StreamStart, timeout: float) -> None:
        self.start = start
        self.end: StreamEnd | None = None
        self._connection = connection
        self._timeout = timeout
        self._failure: Exception | None = None

    async def __aiter__(self) -> AsyncIterator[NDArray[np.float32]]:
        """Yield the audio; exceptions raised by the iterable of frames surface here, and the guard's warning."""
        while (x := await self.next()) is not None:
            yield x
        answers.warn_of(self.end)

    async def next(self) -> NDArray[np.float32] | None:
        """Return the next audio, or None at the end, without a warning."""
        while self.end is None:
            try:
                async with asyncio.timeout(self._timeout):
                    message = answers.read_message(await self._connection.recv())
            except (ConnectionClosed, TimeoutError) as error:
                raise self._failure or answers.connection_error(error) from error
            if isinstance(message, StreamEnd):
                self.end = message
            elif isinstance(message, np.ndarray):
                return message
        return None

    async def send(self, pieces: Iterable[Any] | AsyncIterable[Any]) -> None:
        """Send all frames; runs as a separate task."""
        try:
            if isinstance(pieces, AsyncIterable):
                async for piece in pieces:
                    await self.send_piece(piece)
            else:
                for piece in pieces:
                    await self.send_piece(piece)
                    await asyncio.sleep(0)  # lets the reader have what arrived meanwhile
            await self.send_end()
        except Exception as error:
            await self.fail(error)

    async def send_piece(self, piece: Any) -> None:
        """Send a frame (n_mels,) or frames (n_mels, frames)."""
        for message in requests.frame_messages(piece, self.start.n_mels):
            await self._connection.send(message)

    async def send_end(self) -> None:
        """End the mel."""
        await self._connection.send(requests.END)

    async def fail(self, error: Exception) -> None:
        """End the stream because its frames cannot be sent; the exception is raised in the reader."""
        if not isinstance(error, ConnectionClosed):  # the reader gets a better error for this one
            self._failure = error
            await self._connection.close()
