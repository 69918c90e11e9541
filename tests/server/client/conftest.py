"""A server that is ready, and clients of it."""

from contextlib import contextmanager

import httpx
import pytest
from speaker import TIMEOUT
from streamers import Streamer

from vocoder.client import (
    Client,
)


@pytest.fixture
def streamer():
    return Streamer()


@pytest.fixture
def reach(serve, wait_until):
    """A server that is ready, and how to make clients of it: `with reach(model) as client_of`."""

    @contextmanager
    def run(*models, **settings):
        with serve(*models, **settings) as url:
            wait_until(lambda: httpx.get(f"{url}/readyz", timeout=TIMEOUT).status_code == 200)
            yield lambda kind=Client, **options: kind(url, trust_env=False, **options)

    return run
