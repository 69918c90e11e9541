"""Other sites' pages cannot use a server on somebody's machine, by whatever name they ask for it."""

from contextlib import contextmanager

import httpx
import pytest
from answers import PROBLEM, slug
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
        assert asked(url, Host="voice.localhost", Origin="http://localhost:3000") == (200, "")
        assert asked(url, Host=EVIL) == (403, "forbidden-host")
        assert asked(url, "/livez", Host="10.0.0.7:8000") == (200, "")  # probes ask by an address
        # Other sites' pages cannot send requests, nor open WebSockets.
        assert asked(url, Origin=f"https://{EVIL}") == (403, "forbidden-origin")
        answer = httpx.get(f"{url}/v1/models", headers={"Origin": "http://localhost:3000"}, timeout=TIMEOUT)
        assert not [name for name in answer.headers if name.startswith("access-control")]
        with pytest.raises(InvalidStatus) as refused, opened(url, f"https://{EVIL}"):
            pass
        assert b"forbidden-origin" in refused.value.response.body
        with opened(url, url):
            pass
        upgrade = httpx.get(f"{url}/v1/stream", timeout=TIMEOUT)
        assert (slug(upgrade), upgrade.headers["upgrade"]) == ((426, "upgrade-required"), "websocket")


@contextmanager
def opened(url, origin):
    """A WebSocket that the server takes frames from."""
    with connect(f"{url.replace('http', 'ws', 1)}/v1/stream", proxy=None, origin=Origin(origin)) as connection:
        connection.send("{}")
        assert "ready" in str(connection.recv(TIMEOUT))
        yield


def test_pages_of_sites_that_are_allowed(ready):
    site = "https://example.org:8443"
    with ready(cors_origins=f"{site},http://elsewhere.example") as url:
        preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
        for origin, code in ((site, 200), ("https://example.org", 400), (f"https://{EVIL}", 400), ("null", 400)):
            answer = httpx.options(f"{url}/v1/synthesize", headers={"Origin": origin, **preflight}, timeout=TIMEOUT)
            allowed = answer.headers.get("access-control-allow-origin")
            assert (answer.status_code, allowed) == (code, site if code == 200 else None), origin
        answer = httpx.post(f"{url}/v1/synthesize", headers={"Origin": site}, timeout=TIMEOUT)  # errors are read, too
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (400, site)
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


HERE, INSIDE = ("127.0.0.1", 8000), ("172.17.0.2", 8000)
OWN = ("localhost", "localhost:8000", "LOCALHOST.", "127.0.0.1:1", "[::1]:8000", "voice.localhost")
FOREIGN = (EVIL, "evil.test:8000", "127.0.0.1.evil.test", "0.0.0.0", "localhost@evil.test")
ALLOWED, OTHERS = ("voice.test", "Voice.Test:443", "a.tts.test", "b.a.tts.test"), ("tts.test", "xtts.test", "[")
OF_NO_SITE = ("localhost:8000", "10.0.0.7", "[fd00::1]:8000", "vocoder", "vocoder.svc.cluster.local", "nas.local")
OF_SITES = (EVIL, "vocoder.evil.test", "10.0.0.7.evil.test", "example.com", "")
RULES = {
    "loopback": (HostRule("127.0.0.1"), HERE, OWN, FOREIGN),
    "loopback of IPv6": (HostRule("::1"), ("::1", 8000), OWN, FOREIGN),
    "allowed names": (HostRule("127.0.0.1", ("voice.test", "*.tts.test")), HERE, ALLOWED, OTHERS),
    "a published port": (HostRule("0.0.0.0", (PUBLIC,)), INSIDE, (*OF_NO_SITE, PUBLIC), OF_SITES),
    "a published port of IPv6": (HostRule("::", (PUBLIC,)), INSIDE, (*OF_NO_SITE, PUBLIC), OF_SITES),
    "uvicorn's own --host": (HostRule("127.0.0.1"), ("10.0.0.7", 8000), OF_NO_SITE, OF_SITES),
    "a socket file": (HostRule("127.0.0.1"), ("/run/vocoder.sock", None), (EVIL,), ()),
    "no address": (HostRule("127.0.0.1"), None, (EVIL,), ()),
}


@pytest.mark.parametrize("name", RULES)
def test_the_names_that_a_server_answers_to(name):
    rule, server, known, unknown = RULES[name]
    for host in known:
        assert refusal(rule, server, host) is None, host
        assert refusal(rule, server, host, f"http://{host}") is None, host
        assert refusal(rule, server, host, f"https://{EVIL}") == ("forbidden-origin" if unknown else None), host
    for host in unknown:
        assert refusal(rule, server, host) == "forbidden-host", host


def test_the_sites_whose_pages_may_ask():
    rule = HostRule("127.0.0.1", (), ("https://example.org:8443",))
    for origin in ("http://127.0.0.1:8000", "http://localhost:3000", f"https://{LOOPBACK}", "https://example.org:8443"):
        assert refusal(rule, HERE, "localhost", origin) is None, origin
    for origin in (f"http://127.0.0.1.{EVIL}", "null", "file:", "http://localhost/x", "https://example.org"):
        assert refusal(rule, HERE, "localhost", origin) == "forbidden-origin", origin


def test_any_name_where_a_setting_says_so_which_no_answer_repeats(ready):
    with ready(allowed_hosts="*") as url:
        assert asked(url, Host=EVIL, Origin=f"https://{EVIL}") == (200, "")
        for path in ("/v1/models/", "/metrics/", "/v1/stream/", "/docs/"):
            response = httpx.get(url + path, headers={"Host": EVIL}, timeout=TIMEOUT)
            assert (response.status_code, response.headers.get("location")) == (404, None)
            assert "evil" not in response.text


async def test_the_admin_port_has_a_rule_of_its_own():
    public = create_app(Settings(allowed_hosts=("*",), models=("streamer",)), load=lambda _: Streamer())
    transport = httpx.ASGITransport(create_admin_app(public), client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:9000") as client:
        assert (await client.get("/metrics")).status_code == 200
        refused = await client.get("/metrics", headers={"Host": EVIL})
    assert (refused.status_code, refused.json()["type"]) == (403, f"{PROBLEM}forbidden-host")
