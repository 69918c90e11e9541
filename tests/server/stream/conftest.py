from contextlib import contextmanager

import pytest
from stream_client import StreamClient
from websockets.sync.client import connect


@pytest.fixture
def stream_server(ready):
    @contextmanager
    def run(*models, **settings):
        with ready(*models, **settings) as url:

            @contextmanager
            def dial(query="", **options):
                with connect(f"{url.replace('http', 'ws', 1)}/v1/stream{query}", proxy=None, **options) as connection:
                    yield StreamClient(connection)

            dial.url = url
            yield dial

    return run
