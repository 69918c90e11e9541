"""The blocking client: the asyncio client on its own thread."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vocoder.client.answers import ModelInfo, Speech, StreamEnd, StreamStart
from vocoder.client.async_client import MAX_BYTES, AsyncClient, AsyncSpeechStream
from vocoder.client.loop_thread import LoopThread
from vocoder.client.requests import Audio, SpeechOptions
from vocoder.client.retries import Retries

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Client:
    """Client of a vocoder server; a context manager. Threads may share one, processes may not.

    Args:
        url: of the server, such as http://127.0.0.1:8000.
        api_key: if the server asks for one.
        timeout: seconds to wait for a whole answer, or for the next audio of a stream.
        retries: when to repeat a request.
        trust_env: whether to use proxies from the environment.
        max_bytes: the largest answer that is read, or message of a stream.

    Raises:
        ValueError: the address is not HTTP, or HTTP cannot carry the key.
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
        self._client = AsyncClient(
            url, api_key=api_key, timeout=timeout, retries=retries, trust_env=trust_env, max_bytes=max_bytes
        )
        self._loop = LoopThread()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the client and its connections."""
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
            mel: in the model's mel config, or in that of `preset`.
            **options: model, sigma, seed, denoise, corrections, preset, adapt, mean, variance, sample_rate, guard.

        Raises:
            VocoderError: the server did not answer, refused or failed; each kind has its class.
            TypeError: the mel holds no real numbers, or there is no such option.
        """
        return self._loop.run(self._client.synthesize(mel, **options))

    def mel(
        self, audio: Audio, sample_rate: int | None = None, *, model: str | None = None, preset: str | None = None
    ) -> NDArray[np.float32]:
        """Return the mel (n_mels, frames) of audio for a model or preset.

        Args:
            audio: path or content of a sound file, or samples (T,): floats in [-1, 1] or 16-bit integers.
            sample_rate: Hz of samples.
            model: a name from `models()`.
            preset: a mel preset instead of a model.

        Raises:
            VocoderError: as in `synthesize`.
            TypeError: the samples are of another kind.
            ValueError: samples without a rate, or a file with one.
        """
        return self._loop.run(self._client.mel(audio, sample_rate, model=model, preset=preset))

    @contextmanager
    def stream(self, mel: Any, **options: Unpack[SpeechOptions]) -> Iterator[SpeechStream]:
        """Synthesize a mel while it is made: `with client.stream(frames) as speech: for x in speech: ...`.

        Args:
            mel: (n_mels, frames), array or tensor; or an iterable of frames (n_mels,) and pieces (n_mels, frames),
                which is read on another thread.
            **options: as in `synthesize`.

        Raises:
            VocoderError: as in `synthesize`, at any time; IncompleteError if the connection is lost.
            ValueError: a piece has another number of bands, raised at its turn.
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
    """Yields audio x (T,), float32, as it arrives; afterwards `end` holds the summary."""

    def __init__(self, loop: LoopThread, stream: AsyncSpeechStream) -> None:
        self._loop = loop
        self._stream = stream

    @property
    def start(self) -> StreamStart:
        """What the server announced before the first audio."""
        return self._stream.start

    @property
    def end(self) -> StreamEnd | None:
        """The summary; None before all audio has arrived."""
        return self._stream.end

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Yield the audio; exceptions of the iterable of frames are raised here."""
        while (x := self._loop.run(self._stream.next())) is not None:
            yield x

    def send(self, pieces: Iterable[Any]) -> None:
        """Send all frames; runs on a thread of its own."""
        try:
            for piece in pieces:
                self._loop.run(self._stream.send_piece(piece))
            self._loop.run(self._stream.send_end())
        except Exception as error:
            with suppress(RuntimeError):  # the client may have been closed meanwhile
                self._loop.run(self._stream.fail(error))
