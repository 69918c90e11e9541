import logging

import anyio
import pytest
from http_helpers import npy, slug

from server.limits import keys

KEY, OTHER, SCRAPER = "correct-horse-battery", "another-key-of-bob", "key-of-the-prometheus"
OPEN = {"/livez", "/readyz", "/v2/health/live", "/v2/health/ready"}


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "keys"
    path.write_text(f"alice:{KEY}\nbob:{OTHER}\nprometheus:{SCRAPER} roles=metrics")
    return path


async def test_every_route_except_the_probes_requires_a_key(start, file):
    async with start(api_keys_file=file) as client:
        document = (await client.get("/openapi.json", headers=bearer(KEY))).json()
        routes = [(method, path) for path, methods in document["paths"].items() for method in methods]
        routes += [("get", "/openapi.json"), ("get", "/nowhere"), ("post", "/v2/models/fake/infer")]
        assert len(routes) > 8
        for method, path in routes:
            response = await client.request(method, path.replace("{", "").replace("}", ""))
            if path in OPEN:
                assert response.status_code == 200, path
            else:
                assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer"), path
                assert response.headers["x-request-id"]
                assert "API key" in response.json()["error" if path.startswith("/v2") else "detail"]


async def test_keys_in_either_header_grant_their_roles_and_wrong_keys_nothing(start, file, new_mel):
    async with start(api_keys_file=file) as client:
        basic = {"Authorization": "Basic YTpi", "X-Api-Key": KEY}  # a proxy's credentials do not hide the key
        for headers in (bearer(KEY), bearer(OTHER), {"X-Api-Key": KEY}, {"Authorization": f"bearer  {KEY}"}, basic):
            assert (await client.post("/synthesize", content=npy(new_mel()), headers=headers)).status_code == 200
        assert (await client.get("/metrics", headers=bearer(SCRAPER))).status_code == 200
        assert slug(await client.get("/metrics", headers=bearer(KEY))) == (403, "forbidden")
        rejected = await client.get("/models", headers=bearer(SCRAPER))
        assert (rejected.status_code, rejected.json()["role"]) == (403, "speak")

    async def body():
        raise AssertionError("the body was read")
        yield b""

    async with start(api_keys_file=file) as client:
        for headers in (bearer("x" * 21), bearer(""), {"X-Api-Key": KEY[:-1]}, {"X-Api-Key": "ключ".encode()}):
            response = await client.post("/synthesize", content=body(), headers=headers)
            found = *slug(response), response.headers["www-authenticate"]
            assert found == (401, "unauthorized", 'Bearer error="invalid_token"')


@pytest.mark.parametrize("quota", [{"requests_per_minute": 2}, {"frames_per_minute": 30}], ids=list)
async def test_quotas_are_per_key_and_do_not_apply_to_probes(start, file, new_mel, quota):
    async with start(api_keys_file=file, **quota) as client:

        async def synthesize(key):
            return await client.post("/synthesize", content=npy(new_mel(frames=15)), headers=bearer(key))

        assert [(await synthesize(KEY)).status_code for _ in range(2)] == [200, 200]
        rejected = await synthesize(KEY)
        assert slug(rejected) == (429, "rate-limited")
        assert f"{rejected.json()['quota']}_per_minute" in quota
        assert 1 <= int(rejected.headers["retry-after"]) <= 31
        assert (await synthesize(OTHER)).status_code == 200
        assert (await client.get("/livez", headers=bearer(KEY))).status_code == 200
        text = (await client.get("/metrics", headers=bearer(SCRAPER))).text
        assert 'vocoder_rejected_total{reason="rate-limited"} 1.0' in text


async def test_a_changed_key_file_is_reloaded_while_serving(start, file, monkeypatch):
    monkeypatch.setattr(keys, "WATCH_SECONDS", 0.05)
    async with start(api_keys_file=file) as client:
        file.write_text("carol:a-key-that-is-new-here")
        for _ in range(200):
            if (await client.get("/models", headers=bearer("a-key-that-is-new-here"))).status_code == 200:
                break
            await anyio.sleep(0.05)
        assert slug(await client.get("/models", headers=bearer(KEY))) == (401, "unauthorized")


async def test_logs_contain_the_name_and_never_the_key(start, file, new_mel, caplog):
    caplog.set_level(logging.DEBUG)
    async with start(api_keys_file=file) as client:
        await client.post("/synthesize", content=npy(new_mel()), headers=bearer(KEY))
        await client.post("/synthesize", content=npy(new_mel()), headers=bearer("wrong" + KEY))
    lines = [vars(record) for record in caplog.records if record.message == "answered"]
    assert [(line.get("key"), line["status"]) for line in lines] == [("alice", 200), (None, 401)]
    assert KEY not in f"{lines}{caplog.text}"
