"""The demo says what it waited for in vain, how long, and what to do."""

import importlib
import socket
from types import SimpleNamespace

import httpx
import numpy as np
import pytest


@pytest.fixture
def demo():
    return importlib.import_module("demo")


def test_requests_that_time_out_are_named_with_what_to_do(demo, monkeypatch):
    monkeypatch.setattr(demo, "ANSWER_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:  # which takes connections and never answers
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(demo.DemoError, match=r"GET /models was not answered within .* s: this machine is busy"):
            demo.default_mel_config(url)
        with pytest.raises(demo.DemoError, match=r"POST /synthesize was not answered within .* s: .* make demo ARGS="):
            demo.synthesize(url, np.zeros((80, 10), np.float32))


def test_a_server_that_is_slow_to_be_ready_is_asked_again_and_the_wait_is_told(demo, tmp_path, monkeypatch, capsys):
    asked = []

    def late(url, **options):
        asked.append(url)
        raise httpx.ReadTimeout("timed out")

    monkeypatch.setattr(demo.httpx, "get", late)
    monkeypatch.setattr(demo, "PATIENCE_SECONDS", 0.05)
    log = tmp_path / "server.log"
    log.write_text("ready on http://127.0.0.1:8000")
    process = SimpleNamespace(returncode=3, poll=iter([None, None, None, 3]).__next__)
    with pytest.raises(demo.DemoError, match="the server ended with status 3; its log:\nready on"):
        demo.wait_until_ready(process, log)
    assert len(asked) > 1
    assert "the server is still starting after 0 s" in capsys.readouterr().out
