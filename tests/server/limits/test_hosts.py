"""Pages of other sites cannot use a server on a user's machine under any host name."""

import httpx
import pytest
from http_helpers import PROBLEM, TIMEOUT, slug
from starlette.requests import HTTPConnection
from stream_client import dial
from streamers import Streamer
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from server.app import create_admin_app, create_app
from server.limits.gate import HostRule
from server.problems import Problem
from server.settings import Settings

LOOPBACK = "[::1]"
EVIL, PUBLIC = "evil.test", "speech.example.com"


def get(url, path="/v1/models", **headers):
    response = httpx.get(url + path, headers=headers, timeout=TIMEOUT)
    return response.status_code, response.json().get("type", "").removeprefix(PROBLEM)


def test_a_loopback_server_only_accepts_loopback_names(ready):
    with ready() as url:
        assert get(url, Host="voice.localhost", Origin="http://localhost:3000") == (200, "")
        assert get(url, Host=EVIL) == (403, "forbidden-host")
        assert get(url, "/livez", Host="10.0.0.7:8000") == (200, "")  # probes use an address
        # Pages of other sites can neither send requests nor open WebSockets.
        assert get(url, Origin=f"https://{EVIL}") == (403, "forbidden-origin")
        answer = httpx.get(f"{url}/v1/models", headers={"Origin": "http://localhost:3000"}, timeout=TIMEOUT)
        assert not [name for name in answer.headers if name.startswith("access-control")]
        with pytest.raises(InvalidStatus) as rejected:
            open_stream(url, f"https://{EVIL}")
        assert b"forbidden-origin" in rejected.value.response.body
        open_stream(url, url)
        upgrade = httpx.get(f"{url}/v1/stream", timeout=TIMEOUT)
        assert (slug(upgrade), upgrade.headers["upgrade"]) == ((426, "upgrade-required"), "websocket")


def open_stream(url, origin):
    """Open a WebSocket and wait until the server is ready for frames."""
    with dial(url, origin=Origin(origin)) as client:
        client.begin()


def test_pages_of_allowed_sites_can_use_the_server(ready):
    site = "https://example.org:8443"
    with ready(cors_origins=f"{site},http://elsewhere.example") as url:
        preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
        for origin in (site, "https://example.org", f"https://{EVIL}", "null"):
            answer = httpx.options(f"{url}/v1/synthesize", headers={"Origin": origin, **preflight}, timeout=TIMEOUT)
            code, allowed = answer.status_code, answer.headers.get("access-control-allow-origin")
            found = (code, allowed) if allowed else slug(answer)
            assert found == ((200, site) if origin == site else (403, "forbidden-origin")), origin
        answer = httpx.post(f"{url}/v1/synthesize", headers={"Origin": site}, timeout=TIMEOUT)  # errors are readable
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (400, site)
        assert answer.headers["access-control-expose-headers"] == "*"
        assert get(url, Origin=f"https://{EVIL}") == (403, "forbidden-origin")
        open_stream(url, site)


def problem_kind(rule, server, host, origin=None):
    """Return the kind of problem for which a rule rejects a request, or None."""
    headers = [(b"host", host.encode())] + ([] if origin is None else [(b"origin", origin.encode())])
    scope = {"type": "http", "path": "/v1/models", "headers": headers, "server": server, "query_string": b""}
    try:
        rule.check(HTTPConnection(scope))
    except Problem as problem:
        return problem.kind
    return None


LOOPBACK_SERVER, INSIDE = ("127.0.0.1", 8000), ("172.17.0.2", 8000)
OWN = ("localhost", "localhost:8000", "LOCALHOST.", "127.0.0.1:1", "[::1]:8000", "voice.localhost")
FOREIGN = (EVIL, "evil.test:8000", "127.0.0.1.evil.test", "0.0.0.0", "localhost@evil.test")
ALLOWED, OTHERS = ("voice.test", "Voice.Test:443", "a.tts.test", "b.a.tts.test"), ("tts.test", "xtts.test", "[")
LOCAL_NAMES = ("localhost:8000", "10.0.0.7", "[fd00::1]:8000", "vocoder", "vocoder.svc.cluster.local", "nas.local")
SITE_NAMES = (EVIL, "vocoder.evil.test", "10.0.0.7.evil.test", "example.com", "")
RULES = {
    "loopback": (HostRule("127.0.0.1"), LOOPBACK_SERVER, OWN, FOREIGN),
    "loopback of IPv6": (HostRule("::1"), ("::1", 8000), OWN, FOREIGN),
    "allowed names": (HostRule("127.0.0.1", ("voice.test", "*.tts.test")), LOOPBACK_SERVER, ALLOWED, OTHERS),
    "a published port": (HostRule("0.0.0.0", (PUBLIC,)), INSIDE, (*LOCAL_NAMES, PUBLIC), SITE_NAMES),
    "a published port of IPv6": (HostRule("::", (PUBLIC,)), INSIDE, (*LOCAL_NAMES, PUBLIC), SITE_NAMES),
    "uvicorn's own --host": (HostRule("127.0.0.1"), ("10.0.0.7", 8000), LOCAL_NAMES, SITE_NAMES),
    "a socket file": (HostRule("127.0.0.1"), ("/run/vocoder.sock", None), (EVIL,), ()),
    "no address": (HostRule("127.0.0.1"), None, (EVIL,), ()),
}


@pytest.mark.parametrize("name", RULES)
def test_host_rules_accept_their_own_names_only(name):
    rule, server, known, unknown = RULES[name]
    for host in known:
        assert problem_kind(rule, server, host) is None, host
        assert problem_kind(rule, server, host, f"http://{host}") is None, host
        assert problem_kind(rule, server, host, f"https://{EVIL}") == ("forbidden-origin" if unknown else None), host
    for host in unknown:
        assert problem_kind(rule, server, host) == "forbidden-host", host


def test_origins_of_allowed_sites_are_accepted():
    rule = HostRule("127.0.0.1", (), ("https://example.org:8443",))
    for origin in ("http://127.0.0.1:8000", "http://localhost:3000", f"https://{LOOPBACK}", "https://example.org:8443"):
        assert problem_kind(rule, LOOPBACK_SERVER, "localhost", origin) is None, origin
    for origin in (f"http://127.0.0.1.{EVIL}", "null", "file:", "http://localhost/x", "https://example.org"):
        assert problem_kind(rule, LOOPBACK_SERVER, "localhost", origin) == "forbidden-origin", origin


def test_any_host_name_can_be_allowed_and_is_never_echoed(ready):
    with ready(allowed_hosts="*") as url:
        assert get(url, Host=EVIL, Origin=f"https://{EVIL}") == (200, "")
        for path in ("/v1/models/", "/metrics/", "/v1/stream/", "/docs/"):
            response = httpx.get(url + path, headers={"Host": EVIL}, timeout=TIMEOUT)
            assert (response.status_code, response.headers.get("location")) == (404, None)
            assert "evil" not in response.text


async def test_the_admin_port_has_its_own_host_rule():
    public = create_app(Settings(allowed_hosts=("*",), models=("streamer",)), load=lambda _: Streamer())
    transport = httpx.ASGITransport(create_admin_app(public), client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:9000") as client:
        assert (await client.get("/metrics")).status_code == 200
        rejected = await client.get("/metrics", headers={"Host": EVIL})
    assert (rejected.status_code, rejected.json()["type"]) == (403, f"{PROBLEM}forbidden-host")
