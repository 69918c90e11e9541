"""Other sites' pages cannot use a server on somebody's machine, by whatever name they ask for it."""

import json
from contextlib import contextmanager
from functools import partial

import httpx
import pytest
from answers import PROBLEM
from starlette.requests import HTTPConnection
from streamers import Streamer
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from server.app import create_admin_app, create_app
from server.limits.gate import HostRule
from server.problems import Problem
from server.settings import Settings

TIMEOUT = 30.0
LOOPBACK = "[::1]"
EVIL, PUBLIC = "evil.test", "speech.example.com"


def asked(url, path="/v1/models", **headers):
    response = httpx.get(url + path, headers=headers, timeout=TIMEOUT)
    return response.status_code, response.json().get("type", "").removeprefix(PROBLEM)


def test_a_server_on_loopback_is_asked_by_loopback_names_only(ready):
    with ready() as url:
        for name in ("localhost", "localhost:8000", "LOCALHOST.", "127.0.0.1:1", "[::1]:8000", "voice.localhost"):
            assert asked(url, Host=name) == (200, ""), name
        for name in (EVIL, "evil.test:8000", "127.0.0.1.evil.test", "0.0.0.0", "localhost@evil.test"):
            assert asked(url, Host=name) == (403, "forbidden-host"), name
        assert asked(url, "/livez", Host="10.0.0.7:8000") == (200, "")  # probes ask by an address
        # Other sites' pages cannot send requests, nor open WebSockets.
        for origin in (url, "http://localhost:3000", f"https://{LOOPBACK}"):
            assert asked(url, Origin=origin) == (200, ""), origin
        for origin in (f"https://{EVIL}", f"http://127.0.0.1.{EVIL}", "null", "file:", "http://localhost/x"):
            assert asked(url, Origin=origin) == (403, "forbidden-origin"), origin
        answer = httpx.get(f"{url}/v1/models", headers={"Origin": "http://localhost:3000"}, timeout=TIMEOUT)
        assert not [name for name in answer.headers if name.startswith("access-control")]
        with pytest.raises(InvalidStatus) as refused, opened(url, f"https://{EVIL}"):
            pass
        assert refused.value.response.status_code == 403
        assert json.loads(refused.value.response.body)["type"] == f"{PROBLEM}forbidden-origin"
        with opened(url, url):
            pass
        upgrade = httpx.get(f"{url}/v1/stream", timeout=TIMEOUT)
        assert (upgrade.status_code, upgrade.headers["upgrade"]) == (426, "websocket")
        assert upgrade.json()["type"] == f"{PROBLEM}upgrade-required"


@contextmanager
def opened(url, origin):
    """A WebSocket that the server takes frames from."""
    with connect(f"{url.replace('http', 'ws', 1)}/v1/stream", proxy=None, origin=Origin(origin)) as connection:
        connection.send("{}")
        assert "ready" in str(connection.recv(TIMEOUT))
        yield


def test_names_that_are_allowed(ready):
    with ready(allowed_hosts="voice.test, *.tts.test") as url:
        for name in ("voice.test", "Voice.Test:443", "a.tts.test", "b.a.tts.test"):
            assert asked(url, Host=name, Origin=f"https://{name}") == (200, ""), name
        for name in ("tts.test", "xtts.test", EVIL, "[", "a b"):
            assert asked(url, Host=name)[0] in (400, 403), name
        assert asked(url, Host="voice.test", Origin=f"https://{EVIL}") == (403, "forbidden-origin")


def test_pages_of_sites_that_are_allowed(ready):
    site = "https://example.org:8443"
    with ready(cors_origins=f"{site},http://elsewhere.example") as url:
        preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
        for origin, code in ((site, 200), ("https://example.org", 400), (f"https://{EVIL}", 400), ("null", 400)):
            answer = httpx.options(f"{url}/v1/synthesize", headers={"Origin": origin, **preflight}, timeout=TIMEOUT)
            allowed = answer.headers.get("access-control-allow-origin")
            assert (answer.status_code, allowed) == (code, site if code == 200 else None), origin
        answer = httpx.post(f"{url}/v1/synthesize", headers={"Origin": site}, timeout=TIMEOUT)
        told = answer.status_code, answer.headers["access-control-allow-origin"]
        assert told == (400, site)  # errors are read, too
        assert {"x-seed", "retry-after"} <= set(answer.headers["access-control-expose-headers"].lower().split(", "))
        assert asked(url, Origin=f"https://{EVIL}") == (403, "forbidden-origin")
        with opened(url, site):
            pass


def refusal(rule, server, host, origin=None):
    """What a rule refuses a request for, if it does."""
    headers = [(b"host", host.encode())] + ([] if origin is None else [(b"origin", origin.encode())])
    scope = {"type": "http", "path": "/v1/models", "headers": headers, "server": server, "query_string": b""}
    try:
        rule.check(HTTPConnection(scope))
    except Problem as problem:
        return problem.kind
    return None


@pytest.mark.parametrize(
    ("listens_on", "server", "refused"),
    [
        ("127.0.0.1", ("127.0.0.1", 8000), True),
        ("::1", ("::1", 8000), True),
        ("0.0.0.0", ("127.0.0.1", 8000), True),
        ("0.0.0.0", ("10.0.0.7", 8000), True),
        ("127.0.0.1", ("10.0.0.7", 8000), True),  # uvicorn's own option --host says otherwise than the settings
        ("127.0.0.1", ("/run/vocoder.sock", None), False),
        ("127.0.0.1", None, False),
    ],
)
def test_where_the_default_holds(listens_on, server, refused):
    assert (refusal(HostRule(listens_on, ()), server, EVIL) is not None) == refused


@pytest.mark.parametrize("listens_on", ["0.0.0.0", "::"])
def test_a_published_port_answers_to_names_that_no_site_can_have(listens_on):
    refused = partial(refusal, HostRule(listens_on, (PUBLIC,)), ("172.17.0.2", 8000))
    for host in ("localhost:8000", "10.0.0.7", "[fd00::1]:8000", "vocoder", "vocoder.svc.cluster.local", "nas.local"):
        assert refused(host) is None, host
        assert refused(host, f"http://{host}") is None, host
        assert refused(host, f"https://{EVIL}") == "forbidden-origin", host
    assert refused(PUBLIC, f"https://{PUBLIC}") is None
    for host in ("evil.test", "vocoder.evil.test", "10.0.0.7.evil.test", "example.com", ""):
        assert refused(host) == "forbidden-host", host


def test_any_name_where_a_setting_says_so_which_no_answer_repeats(ready):
    with ready(allowed_hosts="*") as url:
        assert asked(url, Host=EVIL, Origin=f"https://{EVIL}") == (200, "")
        for path in ("/v1/models/", "/metrics/", "/v1/stream/", "/docs/"):
            response = httpx.get(url + path, headers={"Host": EVIL}, timeout=TIMEOUT)
            assert response.status_code == 404
            assert "location" not in response.headers
            assert "evil" not in response.text


@pytest.mark.anyio
async def test_the_admin_port_has_a_rule_of_its_own():
    public = create_app(Settings(allowed_hosts=("*",), models=("streamer",)), load=lambda _: Streamer())
    transport = httpx.ASGITransport(create_admin_app(public), client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:9000") as client:
        assert (await client.get("/metrics")).status_code == 200
        refused = await client.get("/metrics", headers={"Host": EVIL})
    assert (refused.status_code, refused.json()["type"]) == (403, f"{PROBLEM}forbidden-host")
