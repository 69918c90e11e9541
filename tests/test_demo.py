"""The demo says what it waited for in vain, how long, and what to do."""

import importlib
import socket

import httpx
import numpy as np
import pytest


@pytest.fixture
def demo():
    return importlib.import_module("demo")


@pytest.fixture
def starved():
    """The address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_requests_that_time_out_are_named_with_what_to_do(demo, starved, monkeypatch):
    monkeypatch.setattr(demo, "ANSWER_SECONDS", 0.1)
    with pytest.raises(demo.DemoError, match=r"GET /models was not answered within .* s: this machine is busy"):
        demo.default_mel_config(starved)
    with pytest.raises(demo.DemoError, match=r"POST /synthesize was not answered within .* s: .* make demo ARGS="):
        demo.synthesize(starved, np.zeros((80, 10), np.float32))


class Running:
    """A process that ends after so many looks at it."""

    returncode = 3

    def __init__(self, looks):
        self._looks = looks

    def poll(self):
        self._looks -= 1
        return None if self._looks > 0 else self.returncode


def test_a_server_that_is_slow_to_be_ready_is_asked_again_and_the_wait_is_told(demo, tmp_path, monkeypatch, capsys):
    asked = []

    def late(url, **options):
        asked.append(url)
        raise httpx.ReadTimeout("timed out")

    monkeypatch.setattr(demo.httpx, "get", late)
    monkeypatch.setattr(demo, "PATIENCE_SECONDS", 0.05)
    log = tmp_path / "server.log"
    log.write_text("ready on http://127.0.0.1:8000")
    with pytest.raises(demo.DemoError, match="the server ended with status 3; its log:\nready on"):
        demo.wait_until_ready(Running(4), log)
    assert len(asked) > 1
    assert "the server is still starting after 0 s" in capsys.readouterr().out
