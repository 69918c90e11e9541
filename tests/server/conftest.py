"""Fixtures that start the application with fake synthesizers."""

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager

import httpx
import numpy as np
import pytest
import uvicorn
from fakes import FakeSynthesizer
from streamers import Streamer

from server.app import create_app
from server.limits.connections import server_config
from server.settings import Settings


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def new_fake():
    return FakeSynthesizer


@pytest.fixture
def fake(new_fake):
    return new_fake()


@pytest.fixture
def streamer():
    return Streamer()


@pytest.fixture
def pool():
    with ThreadPoolExecutor(16) as pool:
        yield pool


@pytest.fixture
def new_mel():
    """Return a function that makes mels of plausible values around a given level."""

    def make(frames=12, level=-5.0, n_mels=80):
        return np.random.default_rng(7).uniform(level - 1.0, level + 1.0, (n_mels, frames)).astype(np.float32)

    return make


def build_app(*fakes, **settings):
    known = {fake.name: fake for fake in fakes}
    settings.setdefault("cores", 1)
    return create_app(Settings(models=tuple(known), **settings), load=known.__getitem__)


@pytest.fixture
def start(fake):
    """Start the application in this event loop: `async with start(fake, max_frames=10) as client`."""

    @asynccontextmanager
    async def run(*fakes, wait=True, **settings):
        app = build_app(*(fakes or (fake,)), **settings)
        async with app.router.lifespan_context(app):
            if wait:
                await app.state.service.engines.wait_ready()
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
                yield client

    return run


@pytest.fixture
async def client(start):
    async with start() as client:
        yield client


@pytest.fixture
def ready(fake, wait_until):
    """Serve on a loopback socket in another thread, by default once models are ready: `with ready(fake) as url`."""

    @contextmanager
    def run(*fakes, wait=True, **settings):
        app = build_app(*(fakes or (fake,)), **settings)
        server = uvicorn.Server(server_config(app, app.state.service.settings, port=0, log_level="warning"))
        (thread := threading.Thread(target=lambda: asyncio.run(server.serve()))).start()
        try:
            wait_until(lambda: server.started)
            _, port = server.servers[0].sockets[0].getsockname()
            url = f"http://127.0.0.1:{port}"
            if wait:
                wait_until(lambda: httpx.get(f"{url}/readyz", timeout=60.0, verify=False).status_code == 200)
            yield url
        finally:
            server.should_exit = True
            thread.join(60.0)
        assert not thread.is_alive()

    return run


@pytest.fixture
def url(ready, streamer):
    """Serve the streamer."""
    with ready(streamer) as address:
        yield address


@pytest.fixture
def own_logging():
    """Restore the loggers, which a program configures for its whole process."""
    names = ("", "server", "vocoder", "uvicorn", "uvicorn.error")
    before = [(logging.getLogger(name), logging.getLogger(name).level) for name in names]
    handlers = logging.getLogger().handlers[:]
    yield
    logging.getLogger().handlers[:] = handlers
    for logger, level in before:
        logger.setLevel(level)
