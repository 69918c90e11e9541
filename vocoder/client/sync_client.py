"""The blocking client, which runs the asyncio client on its own thread."""

import asyncio
import os
import threading
import weakref
from collections.abc import Coroutine, Iterable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, TypeVar, Unpack

import numpy as np
from numpy.typing import NDArray

from vocoder.client.answers import ModelInfo, Speech, StreamEnd, warn_of
from vocoder.client.async_client import AsyncClient, AsyncSpeechStream
from vocoder.client.requests import Audio, SpeechOptions, pieces_of

T = TypeVar("T")
CLOSED = "the client has been closed"


class Client(AbstractContextManager["Client"]):
    """Client of a vocoder server; a context manager. Threads may share one, processes may not.

    Arguments, methods and errors are those of `AsyncClient`, but the methods block.
    """

    def __init__(self, url: str, **settings: Any) -> None:
        self._client = AsyncClient(url, **settings)
        self._loop = LoopThread()

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the client and its connections."""
        if self._loop.stop.alive:
            self._loop.run(self._client.close())
        self._loop.stop()

    def models(self) -> list[ModelInfo]:
        """Return the models of the server; see `AsyncClient.models`."""
        return self._loop.run(self._client.models())

    def mel(
        self, audio: Audio, sample_rate: int | None = None, *, model: str | None = None, preset: str | None = None
    ) -> NDArray[np.float32]:
        """Compute the mel (n_mels, frames) of audio (T,); see `AsyncClient.mel`."""
        return self._loop.run(self._client.mel(audio, sample_rate, model=model, preset=preset))

    def synthesize(self, mel: Any, **options: Unpack[SpeechOptions]) -> Speech:
        """Turn a mel (n_mels, frames) into audio; see `AsyncClient.synthesize`."""
        speech = self._loop.run(self._client.speech(mel, options))
        warn_of(speech)
        return speech

    @contextmanager
    def stream(self, mel: Any, **options: Unpack[SpeechOptions]) -> Iterator["SpeechStream"]:
        """Synthesize a mel as it arrives: `with client.stream(frames) as speech: for x in speech: ...`.

        See `AsyncClient.stream`; an iterable of frames is read on another thread.
        """
        opened = self._client.open_stream(options)
        stream = SpeechStream(self._loop, self._loop.run(opened.__aenter__()))
        threading.Thread(target=stream.send, args=(pieces_of(mel),), daemon=True, name="vocoder-stream").start()
        try:
            yield stream
        finally:
            self._loop.run(opened.__aexit__(None, None, None))


class SpeechStream:
    """Yields audio x (T,), float32, as it arrives; `start` is the server's announcement, `end` the final summary."""

    def __init__(self, loop: "LoopThread", stream: AsyncSpeechStream) -> None:
        self._loop, self._stream, self.start = loop, stream, stream.start

    @property
    def end(self) -> StreamEnd | None:
        """The summary; None before all audio has arrived."""
        return self._stream.end

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Yield the audio; exceptions raised by the iterable of frames surface here."""
        while (x := self._loop.run(self._stream.next())) is not None:
            yield x
        warn_of(self.end)

    def send(self, pieces: Iterable[Any]) -> None:
        """Send all frames; runs on a separate thread."""
        try:
            for piece in pieces:
                self._loop.run(self._stream.send_piece(piece))
            self._loop.run(self._stream.send_end())
        except BaseException as error:
            # SystemExit, for example, would end the event loop, and its reader would wait for nothing.
            told = error if isinstance(error, Exception) else RuntimeError(f"the iterable of frames raised {error!r}")
            with suppress(RuntimeError):  # the client may have been closed
                self._loop.run(self._stream.fail(told))


class LoopThread:
    """Runs coroutines for any thread, until `stop`, garbage collection, or the end of the process."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="vocoder-client")
        self._thread.start()
        self._process = os.getpid()
        self._calls = set[Future[Any]]()  # that threads wait for
        self.stop = weakref.finalize(self, _end, self._loop, self._thread, self._calls)  # ends the thread
        self.stop.atexit = False  # the thread is a daemon and does not keep the process alive

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its result; raises a RuntimeError if the loop has been stopped, or in a fork."""
        if not self.stop.alive or self._process != os.getpid():
            work.close()
            raise RuntimeError("a client belongs to one process: create one after fork" if self.stop.alive else CLOSED)
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        self._calls.add(future)
        future.add_done_callback(self._calls.discard)
        try:
            return future.result()
        except CancelledError:
            raise RuntimeError(CLOSED) from None
        except BaseException:  # such as KeyboardInterrupt: the result is no longer wanted
            future.cancel()
            raise


def _end(loop: asyncio.AbstractEventLoop, thread: threading.Thread, calls: set[Future[Any]]) -> None:
    for call in tuple(calls):
        call.cancel()  # other threads would wait for ever
    loop.call_soon_threadsafe(loop.call_soon, loop.stop)  # once the cancelled calls have had their turn
    if thread is not threading.current_thread():
        thread.join()
        loop.close()
