import pytest


@pytest.fixture
def url(ready, streamer):
    """Serve the streamer."""
    with ready(streamer) as address:
        yield address
