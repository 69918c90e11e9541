"""The client for programs that wait for their answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import httpx
import numpy as np
from numpy.typing import NDArray
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from vocoder.client.answers import ModelInfo, Speech, StreamEnd, StreamStart
from vocoder.client.errors import NoAnswerError, VocoderError
from vocoder.client.requests import (
    MODELS,
    Audio,
    Call,
    SpeechOptions,
    checked_url,
    failure,
    mel_call,
    read_mel,
    read_models,
    read_speech,
    synthesis_call,
)
from vocoder.client.retries import Retries
from vocoder.client.stream_messages import (
    END,
    connection_error,
    frame_messages,
    hello,
    read_message,
    stream_address,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Client", "SpeechStream"]

T = TypeVar("T")


class Client:
    """Speaks with a vocoder service; a context manager. Threads may share one.

    Args:
        url: of the server, such as http://127.0.0.1:8000.
        api_key: where it asks for one.
        timeout: seconds to wait for an answer, or for the next audio of a stream.
        retries: when to ask again.
        trust_env: whether proxies named in the environment are used.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout: float = 60.0,
        retries: Retries = Retries(),  # noqa: B008 - frozen
        trust_env: bool = True,
    ) -> None:
        self._url = checked_url(url)
        self._headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self._timeout = timeout
        self._retries = retries
        self._trust_env = trust_env
        self._http = httpx.Client(
            base_url=f"{url.rstrip('/')}/", headers=self._headers, timeout=timeout, trust_env=trust_env
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are kept."""
        self._http.close()

    def models(self) -> list[ModelInfo]:
        """Return the models of the server; the first is the default.

        Raises:
            VocoderError: the server did not answer, or refused.
        """
        return read_models(self._call(MODELS))

    def synthesize(self, mel: Any, **options: Unpack[SpeechOptions]) -> Speech:
        """Turn a mel (n_mels, frames), array or tensor, into audio.

        Args:
            mel: in the model's contract, or in that of `preset`.
            **options: model, sigma, seed, denoise, preset, sample_rate, guard.

        Raises:
            VocoderError: the server did not answer, refused, or failed; each kind is a class of its own.
        """
        return read_speech(self._call(synthesis_call(mel, options)))

    def mel(
        self, audio: Audio, sample_rate: int | None = None, *, model: str | None = None, preset: str | None = None
    ) -> NDArray[np.float32]:
        """Return the mel (n_mels, frames) that a model or preset has of audio.

        Args:
            audio: a sound file's path or content, or samples (T,) in [-1, 1].
            sample_rate: Hz of samples.
            model: a name from `models()`.
            preset: a mel preset, instead of a model's own mel.

        Raises:
            VocoderError: as in `synthesize`.
        """
        return read_mel(self._call(mel_call(audio, sample_rate, model, preset)))

    @contextmanager
    def stream(self, mel: Any, **options: Unpack[SpeechOptions]) -> Iterator[SpeechStream]:
        """Speak a mel while it is being made: `with client.stream(frames) as speech: for x in speech: ...`.

        Args:
            mel: (n_mels, frames), array or tensor; or an iterable of frames (n_mels,) and pieces (n_mels, frames),
                which is read from another thread.
            **options: as in `synthesize`.

        Raises:
            VocoderError: as in `synthesize`, at any time; IncompleteError if the connection is lost.
            ValueError: a piece is not as wide as the model's mels; when its turn comes.
        """
        with ExitStack() as stack:
            connection, start = self._again(lambda: self._dial(options, stack))
            stream = SpeechStream(connection, start, self._timeout)
            pieces = [mel] if hasattr(mel, "shape") else mel
            threading.Thread(target=stream.send, args=(pieces,), daemon=True, name="vocoder-stream").start()
            yield stream

    def _dial(self, options: SpeechOptions, stack: ExitStack) -> tuple[ClientConnection, StreamStart]:
        """Open a connection for as long as the stack, and have the server say that it is ready."""
        proxy: Literal[True] | None = True if self._trust_env else None
        address, first = stream_address(self._url), hello(options)
        limits: dict[str, Any] = {"open_timeout": self._timeout, "compression": None, "max_size": None}
        try:
            dialled = connect(address, additional_headers=self._headers, proxy=proxy, **limits)
            connection = stack.enter_context(dialled)
            connection.send(first)
            start = read_message(connection.recv(self._timeout))
        except Exception as error:
            stack.close()
            meaning = connection_error(error)
            if meaning is error:
                raise
            raise meaning from error
        assert isinstance(start, StreamStart)
        return connection, start

    def _call(self, call: Call) -> httpx.Response:
        return self._again(lambda: self._send(call))

    def _send(self, call: Call) -> httpx.Response:
        try:
            response = self._http.request(
                call.method, call.path, params=call.params, content=call.content, headers=call.headers
            )
        except httpx.TransportError as error:
            raise NoAnswerError(f"the server did not answer: {type(error).__name__}: {error}") from error
        refusal = failure(response)
        if refusal is not None:
            raise refusal
        return response

    def _again(self, attempt: Callable[[], T]) -> T:
        done = 0
        while True:
            try:
                return attempt()
            except VocoderError as error:
                wait = self._retries.wait(error, done)
                if wait is None:
                    raise
            time.sleep(wait)
            done += 1


class SpeechStream:
    """Yields audio x (T,), float32, as it comes; once it is exhausted, `end` tells what was spoken."""

    def __init__(self, connection: ClientConnection, start: StreamStart, timeout: float) -> None:
        self.start = start
        self.end: StreamEnd | None = None
        self._connection = connection
        self._timeout = timeout
        self._failure: Exception | None = None

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Yield the audio; what the iterable of frames raises is raised here."""
        while self.end is None:
            try:
                message = read_message(self._connection.recv(self._timeout))
            except (ConnectionClosed, TimeoutError) as error:
                raise self._failure or connection_error(error) from error
            if isinstance(message, StreamEnd):
                self.end = message
            elif isinstance(message, np.ndarray):
                yield message

    def send(self, pieces: Iterable[Any]) -> None:
        """Send all frames; the client does this on a thread of its own."""
        try:
            for piece in pieces:
                for message in frame_messages(piece, self.start.n_mels):
                    self._connection.send(message)
            self._connection.send(END)
        except ConnectionClosed:
            pass  # whoever reads the stream learns why
        except Exception as error:
            self._failure = error
            self._connection.close()
