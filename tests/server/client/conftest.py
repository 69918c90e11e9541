import pytest

from vocoder.client import Client


@pytest.fixture
def client(ready, streamer):
    """Return a client of a server of the streamer."""
    with ready(streamer) as url, Client(url, trust_env=False) as client:
        yield client
