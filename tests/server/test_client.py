"""The Python client against a real server on a real socket."""

from __future__ import annotations

import asyncio
import io
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
import torch
from streamers import Streamer, mel_of

from vocoder import MelSpectrogram
from vocoder.client import (
    AsyncClient,
    AuthenticationError,
    Client,
    IncompleteError,
    InvalidRequestError,
    NoAnswerError,
    Retries,
    ServerError,
    UnavailableError,
    UnknownModelError,
)
from vocoder.mel_config import preset
from vocoder.resampling import resample

TIMEOUT = 60.0
TONE = (0.3 * np.sin(np.arange(22050) / 20.0)).astype(np.float32)


@pytest.fixture
def streamer() -> Streamer:
    return Streamer()


@pytest.fixture
def reach(serve: Any, wait_until: Any) -> Callable[..., Any]:
    """A server that is ready, and how to make clients of it: `with reach(model) as client_of`."""

    @contextmanager
    def run(*models: Any, **settings: Any) -> Iterator[Any]:
        with serve(*models, **settings) as url:
            wait_until(lambda: httpx.get(f"{url}/readyz", timeout=TIMEOUT).status_code == 200)
            yield lambda kind=Client, **options: kind(url, trust_env=False, **options)

    return run


def test_a_mel_at_once(reach: Any, streamer: Streamer) -> None:
    mel = mel_of(50)
    with reach(streamer) as client_of, client_of() as client:
        speech = client.synthesize(mel, seed=3, sigma=0.2)
        np.testing.assert_array_equal(speech.x, streamer.synthesize(mel, seed=3, sigma=0.2))
        assert (speech.sample_rate, speech.model, speech.seed) == (22050, "streamer", 3)
        drawn = client.synthesize(torch.from_numpy(mel).double().requires_grad_(), sample_rate=16000)
        assert drawn.sample_rate == 16000
        expected = resample(streamer.synthesize(mel, seed=drawn.seed), 22050, 16000)
        np.testing.assert_allclose(drawn.x, expected, atol=1e-6)


def test_the_models(reach: Any, streamer: Streamer) -> None:
    with reach(streamer, Streamer("other")) as client_of, client_of() as client:
        models = client.models()
        assert [(model.name, model.state) for model in models] == [("streamer", "ready"), ("other", "ready")]
        assert models[0].mel_config == streamer.mel_config
        assert models[0].details["limits"]["max_frames"] == 4096
        assert client.synthesize(mel_of(5), model="other").model == "other"


def test_the_mel_of_audio(reach: Any, streamer: Streamer, tmp_path: Path) -> None:
    content = io.BytesIO()
    soundfile.write(content, TONE, 22050, format="WAV", subtype="FLOAT")
    path = tmp_path / "tone.wav"
    path.write_bytes(content.getvalue())
    expected = MelSpectrogram(preset("nvidia"))(torch.from_numpy(TONE)[None])[0].numpy()
    with reach(streamer) as client_of, client_of() as client:
        for given in (path, str(path), content.getvalue()):
            np.testing.assert_allclose(client.mel(given), expected, atol=1e-5)
        np.testing.assert_allclose(client.mel(TONE, 22050, model="streamer"), expected, atol=1e-5)
        assert client.mel(TONE, 22050, preset="vocos").shape[0] == 100
        with pytest.raises(ValueError, match="sample_rate"):
            client.mel(TONE)


@pytest.mark.parametrize("form", ["whole", "tensor", "pieces", "frames"])
def test_a_stream(reach: Any, streamer: Streamer, form: str) -> None:
    mel = mel_of(600)
    given = {
        "whole": mel,
        "tensor": torch.from_numpy(mel),
        "pieces": (mel[:, start : start + 70] for start in range(0, 600, 70)),
        "frames": iter(mel.T),
    }[form]
    with reach(streamer) as client_of, client_of() as client, client.stream(given, seed=4) as speech:
        assert (speech.start.sample_rate, speech.start.seed, speech.start.hop_length) == (22050, 4, 256)
        chunks = list(speech)
        assert len(chunks) > 5
        np.testing.assert_allclose(np.concatenate(chunks), streamer.synthesize(mel, seed=4), atol=1e-6)
        assert (speech.end.frames, speech.end.samples) == (600, 600 * 256)
        assert list(speech) == []


def test_audio_comes_while_frames_are_made(reach: Any, streamer: Streamer) -> None:
    mel, heard = mel_of(60), threading.Event()

    def frames() -> Iterator[Any]:
        yield from mel[:, :11].T
        assert heard.wait(TIMEOUT)
        yield mel[:, 11:]

    with reach(streamer) as client_of, client_of() as client, client.stream(frames(), seed=1) as speech:
        chunks = []
        for chunk in speech:
            chunks.append(chunk)
            heard.set()
    np.testing.assert_allclose(np.concatenate(chunks), streamer.synthesize(mel, seed=1), atol=1e-6)


def test_what_the_frames_raise_is_raised_where_audio_is_read(reach: Any, streamer: Streamer) -> None:
    def frames() -> Iterator[Any]:
        yield mel_of(5)
        raise KeyError("the acoustic model failed")

    with reach(streamer) as client_of, client_of() as client:
        with client.stream(frames()) as speech, pytest.raises(KeyError, match="acoustic model"):
            list(speech)
        with client.stream([np.zeros((1, 80, 5))]) as speech, pytest.raises(ValueError, match="n_mels"):
            list(speech)


def test_errors_have_types(reach: Any, streamer: Streamer) -> None:
    with reach(streamer) as client_of, client_of() as client:
        with pytest.raises(InvalidRequestError, match="transposed") as refused:
            client.synthesize(mel_of(12).T)
        assert refused.value.problem.name == "invalid-mel"
        assert refused.value.problem.request_id
        with pytest.raises(UnknownModelError, match="streamer"):
            client.synthesize(mel_of(5), model="nobody")
        with pytest.raises(UnknownModelError, match="streamer"), client.stream(mel_of(5), model="nobody"):
            pass
        with pytest.raises(TypeError, match="temperature"):
            client.synthesize(mel_of(5), temperature=1.0)
        with client.stream(mel_of(5) * np.nan) as speech, pytest.raises(InvalidRequestError, match="finite"):
            list(speech)
        streamer.fault = RuntimeError("secret")
        with client.stream(mel_of(5)) as speech, pytest.raises(ServerError, match="synthesis-failed"):
            list(speech)


def test_keys(reach: Any, streamer: Streamer, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("alice:open-sesame-1234567\n")
    with reach(streamer, api_keys_file=keys) as client_of:
        with client_of() as client:
            with pytest.raises(AuthenticationError, match="API key"):
                client.models()
            with pytest.raises(AuthenticationError, match="API key"), client.stream(mel_of(5)):
                pass
        with client_of(api_key="open-sesame-1234567") as client:
            assert client.synthesize(mel_of(5)).model == "streamer"
            with client.stream(mel_of(5)) as speech:
                assert sum(map(len, speech)) == 5 * 256


def test_nobody_there() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with Client(url, trust_env=False) as client:
        with pytest.raises(NoAnswerError, match="did not answer"):
            client.models()
        with pytest.raises(NoAnswerError, match="could not be reached"), client.stream(mel_of(5)):
            pass


def test_a_stream_that_is_cut_off_is_not_the_end(reach: Any, streamer: Streamer) -> None:
    with reach(streamer, body_timeout=30.0) as client_of, client_of() as client:
        more = threading.Event()

        def frames() -> Iterator[Any]:
            yield mel_of(20)
            more.wait(TIMEOUT)

        with client.stream(frames()) as speech:
            chunks = iter(speech)
            assert len(next(chunks)) == 8 * 256
            speech._connection.socket.shutdown(socket.SHUT_RDWR)
            with pytest.raises(IncompleteError, match="before all of its audio"):
                list(chunks)
        more.set()


@dataclass(frozen=True)
class Impatient(Retries):
    """Notes how long it should wait, waits a moment, and lets the server go on."""

    go_on: Callable[[], None] = lambda: None
    waits: list[float] = field(default_factory=list)

    def wait(self, error: Any, done: int) -> float | None:
        seconds = super().wait(error, done)
        if seconds is None:
            return None
        self.waits.append(seconds)
        self.go_on()
        return 0.02


@contextmanager
def full(client_of: Any, streamer: Streamer, wait_until: Any) -> Iterator[None]:
    """A server whose model is held up and whose queue of one is full."""
    entered = streamer.entered
    streamer.gate.clear()
    line = 'vocoder_queued_requests{model="streamer"} 1.0'
    with client_of(retries=Retries(most=0)) as other:
        threads = [threading.Thread(target=other.synthesize, args=(mel_of(5),)) for _ in range(2)]
        threads[0].start()
        wait_until(lambda: streamer.entered == entered + 1)
        threads[1].start()
        metrics = str(other._http.base_url.join("metrics"))
        wait_until(lambda: 'vocoder_queued_requests{model="streamer"} 1.0' in httpx.get(metrics, timeout=TIMEOUT).text)
        try:
            yield
        finally:
            streamer.gate.set()
            for thread in threads:
                thread.join(TIMEOUT)


def test_who_is_sent_away_comes_back_when_told(reach: Any, streamer: Streamer, wait_until: Any) -> None:
    with reach(streamer, queue_size=1) as client_of:
        with full(client_of, streamer, wait_until), client_of(retries=Retries(most=0)) as client:
            with pytest.raises(UnavailableError, match="queue-full") as refused:
                client.synthesize(mel_of(5))
            assert refused.value.problem.retry_after >= 1.0
        patience = Impatient(most=1000, go_on=streamer.gate.set)
        with full(client_of, streamer, wait_until), client_of(retries=patience) as client:
            assert client.synthesize(mel_of(5)).model == "streamer"
        assert patience.waits[0] >= 1.0
        patience = Impatient(most=1000, go_on=streamer.gate.set)
        with (
            full(client_of, streamer, wait_until),
            client_of(retries=patience) as client,
            client.stream(mel_of(5)) as speech,
        ):
            assert sum(map(len, speech)) == 5 * 256
        assert patience.waits[0] >= 1.0


def test_everything_again_for_asyncio(reach: Any, streamer: Streamer, wait_until: Any) -> None:
    mel = mel_of(300)

    async def frames() -> AsyncIterator[Any]:
        for start in range(0, 300, 50):
            await asyncio.sleep(0.0)
            yield mel[:, start : start + 50]

    async def broken() -> AsyncIterator[Any]:
        yield mel[:, :5]
        raise KeyError("the acoustic model failed")

    async def everything(client: AsyncClient) -> None:
        assert [model.name for model in await client.models()] == ["streamer"]
        np.testing.assert_array_equal((await client.synthesize(mel, seed=3)).x, streamer.synthesize(mel, seed=3))
        assert (await client.mel(TONE, 22050)).shape[0] == 80
        for given in (frames(), mel, iter(mel.T)):
            async with client.stream(given, seed=3) as speech:
                chunks = [chunk async for chunk in speech]
            np.testing.assert_allclose(np.concatenate(chunks), streamer.synthesize(mel, seed=3), atol=1e-6)
            assert speech.end.frames == 300
        with pytest.raises(InvalidRequestError, match="transposed"):
            await client.synthesize(mel.T)
        with pytest.raises(UnknownModelError):
            async with client.stream(mel, model="nobody"):
                pass
        async with client.stream(broken()) as speech:
            with pytest.raises(KeyError, match="acoustic model"):
                [chunk async for chunk in speech]

    async def patiently(client: AsyncClient) -> None:
        async with client, client.stream(mel) as speech:
            assert sum([len(chunk) async for chunk in speech]) == 300 * 256
        assert (await asyncio.to_thread(lambda: patience.waits[0])) >= 1.0

    async def run(client: AsyncClient) -> None:
        async with client:
            await everything(client)

    with reach(streamer, queue_size=1) as client_of:
        asyncio.run(run(client_of(AsyncClient)))
        patience = Impatient(most=1000, go_on=streamer.gate.set)
        with full(client_of, streamer, wait_until):
            asyncio.run(patiently(client_of(AsyncClient, retries=patience)))
