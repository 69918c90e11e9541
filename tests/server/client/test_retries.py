"""Retries of rejected requests, and the client for asyncio."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest
from http_helpers import TIMEOUT, metrics
from streamers import mel_of

from vocoder.client import AsyncClient, Client, Retries, UnavailableError, UnknownModelError
from vocoder.mel.config import MelWarning

TONE = (0.3 * np.sin(np.arange(22050) / 20.0)).astype(np.float32)
pytestmark = pytest.mark.filterwarnings("ignore::vocoder.MelWarning")  # the mels are artificial


@dataclass(frozen=True)
class Impatient(Retries):
    """Records how long it should wait, waits only briefly and lets the server continue."""

    resume: Callable[[], None] = lambda: None
    waits: list[float] = field(default_factory=list)

    def wait(self, error, done):
        if (seconds := super().wait(error, done)) is None:
            return None
        self.waits.append(seconds)
        self.resume()
        return 0.02


@contextmanager
def full_queue(url, streamer, wait_until):
    """Block the model of a server and fill its queue of one."""
    entered = streamer.entered
    streamer.gate.clear()
    with Client(url, trust_env=False, retries=Retries(most=0)) as other:
        threads = [threading.Thread(target=other.synthesize, args=(mel_of(5),)) for _ in range(2)]
        threads[0].start()
        wait_until(lambda: streamer.entered == entered + 1)
        threads[1].start()
        wait_until(lambda: 'vocoder_queued_requests{model="streamer"} 1.0' in metrics(url))
        try:
            yield
        finally:
            streamer.gate.set()
            for thread in threads:
                thread.join(TIMEOUT)


def test_rejected_requests_are_retried_after_the_requested_wait(ready, streamer, wait_until):
    with ready(streamer, queue_size=1) as url:
        with full_queue(url, streamer, wait_until), Client(url, trust_env=False, retries=Retries(most=0)) as client:
            with pytest.raises(UnavailableError, match="queue-full") as error:
                client.synthesize(mel_of(5))
            assert error.value.problem.retry_after >= 1.0
        for streamed in (False, True):
            patience = Impatient(most=1000, resume=streamer.gate.set)
            with full_queue(url, streamer, wait_until), Client(url, trust_env=False, retries=patience) as client:
                if streamed:
                    with client.stream(mel_of(5)) as speech:
                        assert sum(map(len, speech)) == 5 * 256
                else:
                    assert client.synthesize(mel_of(5)).model == "streamer"
            assert patience.waits[0] >= 1.0


def test_the_asyncio_client(ready, streamer, wait_until):
    mel = mel_of(300)

    async def frames():
        for start in range(0, 300, 50):
            await asyncio.sleep(0.0)
            yield mel[:, start : start + 50]

    async def use_client(client):
        async with client:
            assert [model.name for model in await client.models()] == ["streamer"]
            speech = await asyncio.create_task(client.synthesize(mel, seed=3))
            np.testing.assert_array_equal(speech.x, streamer.synthesize(mel, seed=3))
            assert (await client.mel(TONE, 22050)).shape[0] == 80
            for source in (frames(), mel, iter(mel.T)):
                async with client.stream(source, seed=3) as speech:
                    chunks = [chunk async for chunk in speech]
                np.testing.assert_allclose(np.concatenate(chunks), streamer.synthesize(mel, seed=3), atol=1e-6)
                assert speech.end.frames == 300
            with pytest.raises(UnknownModelError):
                async with client.stream(mel, model="nobody"):
                    pass

    async def stream_with_retries(client):
        async with client, client.stream(mel) as speech:
            assert sum([len(chunk) async for chunk in speech]) == 300 * 256
        assert (await asyncio.to_thread(lambda: patience.waits[0])) >= 1.0

    with ready(streamer, queue_size=1) as url:
        with pytest.warns(MelWarning) as told:
            asyncio.run(use_client(AsyncClient(url, trust_env=False)))
        assert [warning.filename for warning in told] == [__file__] * 4
        patience = Impatient(most=1000, resume=streamer.gate.set)
        with full_queue(url, streamer, wait_until):
            asyncio.run(stream_with_retries(AsyncClient(url, trust_env=False, retries=patience)))


def test_a_client_belongs_to_one_event_loop(ready, streamer):
    with ready(streamer) as url, asyncio.Runner() as first:
        client = AsyncClient(url, trust_env=False)
        assert [model.name for model in first.run(client.models())] == ["streamer"]
        with pytest.raises(RuntimeError, match="belongs to another event loop"):
            asyncio.run(client.models())
        first.run(client.close())
