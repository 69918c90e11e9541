"""A server with something to stream, and a way to dial it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from speaker import Speaker
from streamers import Streamer
from websockets.sync.client import connect


@pytest.fixture
def streamer() -> Streamer:
    return Streamer()


@pytest.fixture
def talk(ready: Any) -> Any:
    @contextmanager
    def run(*models: Any, **settings: Any) -> Iterator[Any]:
        with ready(*models, **settings) as url:

            @contextmanager
            def dial(**options: Any) -> Iterator[Speaker]:
                with connect(f"{url.replace('http', 'ws', 1)}/v1/stream", proxy=None, **options) as connection:
                    yield Speaker(connection)

            dial.url = url  # type: ignore[attr-defined]
            yield dial

    return run
