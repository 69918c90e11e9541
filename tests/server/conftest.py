"""A synthesizer without weights, and ways to start the application around it."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
from numpy.typing import NDArray

from server.app import create_app
from server.limits.connections import server_config
from server.settings import Settings
from vocoder.mel.config import MelConfig, preset

sys.path.insert(0, str(Path(__file__).parent))

Mel = NDArray[np.float32]


WARM_UP = 3  # calls before a model is ready, of which fakes count the last as their first


class FakeSynthesizer:
    """Speaks each frame's mean, and noise less with corrections; can be held up (`gate`) or made to fail (`fault`)."""

    family = "fake"
    dtype = "float32"

    def __init__(self, name: str = "fake", mel_config: MelConfig | None = None) -> None:
        self.name = name
        self.mel_config = mel_config or preset("nvidia")
        self.sample_rate = self.mel_config.sample_rate
        self.hop_length = self.mel_config.hop_length
        self.gain = 1.0
        self.gate = threading.Event()
        self.gate.set()
        self.fault: Exception | None = None
        self.threads: set[int] = set()
        self.entered = self.calls = 1 - WARM_UP

    def info(self) -> dict[str, Any]:
        described = {"family": self.family, "parameters": 3, "device": "cpu", "dtype": "float32"}
        return described | {"provenance": {"licence": "none"}, "quality": {}}

    def synthesize(
        self,
        mel: Mel,
        *,
        sigma: float | None = None,
        seed: int | None = None,
        denoise: float = 0.0,
        corrections: int | None = None,
    ) -> Mel:
        self.entered += 1
        assert self.gate.wait(60.0)
        self.threads.add(threading.get_ident())
        self.calls += 1
        if self.fault is not None:
            raise self.fault
        noise = np.random.default_rng(seed).standard_normal(mel.shape[1] * self.hop_length)
        scale = 0.01 * (0.5 if sigma is None else sigma) * (1.0 - denoise) / (1.0 + (corrections or 0))
        x = self.gain * (np.repeat(np.tanh(mel.mean(axis=0) / 10.0), self.hop_length) + scale * noise)
        return x.astype(np.float32)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("VOCODER_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def new_fake() -> Callable[..., FakeSynthesizer]:
    return FakeSynthesizer


@pytest.fixture
def fake() -> FakeSynthesizer:
    return FakeSynthesizer()


@pytest.fixture
def new_mel() -> Callable[..., Mel]:
    """Mels that real speech could have: between silence and loud, with a level that tells them apart."""

    def make(frames: int = 12, level: float = -5.0, n_mels: int = 80) -> Mel:
        return np.random.default_rng(7).uniform(level - 1.0, level + 1.0, (n_mels, frames)).astype(np.float32)

    return make


def build_app(*fakes: FakeSynthesizer, **settings: Any) -> Any:
    known = {fake.name: fake for fake in fakes}
    settings.setdefault("cores", 1)
    return create_app(Settings(models=tuple(known), **settings), load=known.__getitem__)


@pytest.fixture
def start(fake: FakeSynthesizer) -> Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]:
    """Start the application in this event loop: `async with start(fake, max_frames=10) as client`."""

    @asynccontextmanager
    async def run(*fakes: FakeSynthesizer, wait: bool = True, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
        app = build_app(*(fakes or (fake,)), **settings)
        async with app.router.lifespan_context(app):
            if wait:
                await app.state.service.engines.wait_ready()
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
                yield client

    return run


@pytest.fixture
async def client(
    start: Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]],
) -> AsyncIterator[httpx.AsyncClient]:
    async with start() as client:
        yield client


@pytest.fixture
def serve(fake: FakeSynthesizer) -> Callable[..., AbstractContextManager[str]]:
    """Serve on a loopback socket from another thread: `with serve(fake) as url`."""

    @contextmanager
    def run(*fakes: FakeSynthesizer, **settings: Any) -> Iterator[str]:
        app = build_app(*(fakes or (fake,)), **settings)
        server = uvicorn.Server(server_config(app, app.state.service.settings, log_level="warning"))
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
            thread.start()
            try:
                _wait_until(lambda: server.started)
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                server.should_exit = True
                thread.join(60.0)
        assert not thread.is_alive()

    return run


@pytest.fixture
def ready(serve: Any) -> Callable[..., AbstractContextManager[str]]:
    """Serve as `serve` does, once every model is ready: `with ready(fake) as url`."""

    @contextmanager
    def run(*fakes: FakeSynthesizer, **settings: Any) -> Iterator[str]:
        with serve(*fakes, **settings) as url:
            _wait_until(lambda: httpx.get(f"{url}/readyz", timeout=60.0).status_code == 200)
            yield url

    return run


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool]], None]:
    return _wait_until


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < deadline, "waited 60 seconds in vain"
        time.sleep(0.005)


@pytest.fixture
def own_logging() -> Iterator[None]:
    """Put the loggers back as they were: a program sets them for its whole process."""
    names = ("", "server", "vocoder", "uvicorn", "uvicorn.error")
    before = [(logging.getLogger(name), logging.getLogger(name).level) for name in names]
    handlers = logging.getLogger().handlers[:]
    yield
    logging.getLogger().handlers[:] = handlers
    for logger, level in before:
        logger.setLevel(level)
