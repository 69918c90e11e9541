from contextlib import contextmanager

import pytest
from speaker import Speaker
from websockets.sync.client import connect


@pytest.fixture
def talk(ready):
    @contextmanager
    def run(*models, **settings):
        with ready(*models, **settings) as url:

            @contextmanager
            def dial(query="", **options):
                with connect(f"{url.replace('http', 'ws', 1)}/v1/stream{query}", proxy=None, **options) as connection:
                    yield Speaker(connection)

            dial.url = url
            yield dial

    return run
