from contextlib import contextmanager

import pytest

from vocoder.client import Client


@pytest.fixture
def client_factory(ready):
    """Start a server and return a function that creates clients of it: `with reach(model) as client_of`."""

    @contextmanager
    def run(*models, **settings):
        with ready(*models, **settings) as url:
            yield lambda kind=Client, **options: kind(url, trust_env=False, **options)

    return run
