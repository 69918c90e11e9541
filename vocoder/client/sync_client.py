"""The client for programs that wait for their answers: the one for asyncio, on a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vocoder.client.answers import ModelInfo, Speech, StreamEnd, StreamStart
from vocoder.client.async_client import AsyncClient, AsyncSpeechStream
from vocoder.client.loop_thread import LoopThread
from vocoder.client.requests import Audio, SpeechOptions
from vocoder.client.retries import Retries

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Client", "SpeechStream"]


class Client:
    """Speaks with a vocoder service; a context manager. Threads may share one, processes may not.

    Args:
        url: of the server, such as http://127.0.0.1:8000.
        api_key: where it asks for one.
        timeout: seconds to wait for an answer, or for the next audio of a stream.
        retries: when to ask again.
        trust_env: whether proxies named in the environment are used.

    Raises:
        ValueError: the address is none of HTTP, or the key none that HTTP can carry.
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
        self._client = AsyncClient(url, api_key=api_key, timeout=timeout, retries=retries, trust_env=trust_env)
        self._loop = LoopThread()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are kept, for good."""
        self._loop.run(self._client.close())
        self._loop.stop()

    def models(self) -> list[ModelInfo]:
        """Return the models of the server; the first is the default.

        Raises:
            VocoderError: the server did not answer, or refused.
        """
        return self._loop.run(self._client.models())

    def synthesize(self, mel: Any, **options: Unpack[SpeechOptions]) -> Speech:
        """Turn a mel (n_mels, frames), array or tensor, into audio.

        Args:
            mel: in the model's contract, or in that of `preset`.
            **options: model, sigma, seed, denoise, corrections, preset, adapt, mean, variance, sample_rate, guard.

        Raises:
            VocoderError: the server did not answer, refused, or failed; each kind is a class of its own.
            TypeError: the mel holds no real numbers, or there is no such option.
        """
        return self._loop.run(self._client.synthesize(mel, **options))

    def mel(
        self, audio: Audio, sample_rate: int | None = None, *, model: str | None = None, preset: str | None = None
    ) -> NDArray[np.float32]:
        """Return the mel (n_mels, frames) that a model or preset has of audio.

        Args:
            audio: a sound file's path or content, or samples (T,): floats in [-1, 1], or integers of 16 bits.
            sample_rate: Hz of samples.
            model: a name from `models()`.
            preset: a mel preset, instead of a model's own mel.

        Raises:
            VocoderError: as in `synthesize`.
            TypeError: the samples are of another kind.
            ValueError: samples without a rate, or a rate with a file, which has its own.
        """
        return self._loop.run(self._client.mel(audio, sample_rate, model=model, preset=preset))

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
        opened = self._client.open_stream(options)
        stream = SpeechStream(self._loop, self._loop.run(opened.__aenter__()))
        pieces = [mel] if hasattr(mel, "shape") else mel
        threading.Thread(target=stream.send, args=(pieces,), daemon=True, name="vocoder-stream").start()
        try:
            yield stream
        finally:
            self._loop.run(opened.__aexit__(None, None, None))


class SpeechStream:
    """Yields audio x (T,), float32, as it comes; once it is exhausted, `end` tells what was spoken."""

    def __init__(self, loop: LoopThread, stream: AsyncSpeechStream) -> None:
        self._loop = loop
        self._stream = stream

    @property
    def start(self) -> StreamStart:
        """What was known before the first audio."""
        return self._stream.start

    @property
    def end(self) -> StreamEnd | None:
        """What was spoken; None before all audio has come."""
        return self._stream.end

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Yield the audio; what the iterable of frames raises is raised here."""
        while (x := self._loop.run(self._stream.next())) is not None:
            yield x

    def send(self, pieces: Iterable[Any]) -> None:
        """Send all frames; the client does this on a thread of its own."""
        try:
            for piece in pieces:
                self._loop.run(self._stream.send_piece(piece))
            self._loop.run(self._stream.send_end())
        except Exception as error:
            with suppress(RuntimeError):  # the client may have been closed meanwhile
                self._loop.run(self._stream.fail(error))
