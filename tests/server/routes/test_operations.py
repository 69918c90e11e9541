import dataclasses
from unittest.mock import Mock

import numpy as np
import pytest
from http_helpers import npy, slug
from prometheus_client.parser import text_string_to_metric_families

from vocoder.mel.config import PRESETS, MelConfig


async def scrape(client):
    """Return every sample as `name label=value ...` with sorted labels."""
    response = await client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    return {
        " ".join([sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items()))]): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


async def test_readiness_before_and_after_the_warm_up(start, fake, new_mel):
    fake.gate.clear()
    async with start(wait=False) as client:
        response = await client.get("/readyz")
        assert (*slug(response), response.headers["retry-after"]) == (503, "not-ready", "5")
        assert (await client.get("/livez")).status_code == 200
        early = await client.post("/synthesize", content=npy(new_mel()))
        assert (*slug(early), early.headers["retry-after"]) == (503, "warming", "5")
        assert slug(await client.post("/synthesize?model=x", content=b"")) == (503, "warming")
        assert (await client.get("/models/fake")).json() == {"name": "fake", "state": "loading"}
        fake.gate.set()
        await client._transport.app.state.service.engines.wait_ready()
        assert (await client.get("/readyz")).json() == {"status": "ready"}
        assert (await client.post("/synthesize", content=npy(new_mel()))).status_code == 200


async def test_a_model_that_fails_to_load_is_reported(start, fake, new_mel):
    fake.gain = np.nan
    async with start(wait=False) as client:
        engines = client._transport.app.state.service.engines
        with pytest.raises(Exception, match="cannot load model fake"):
            await engines.wait_ready()
        assert slug(await client.get("/livez")) == (503, "not-alive")
        ready = await client.get("/readyz")
        assert (slug(ready), "retry-after" in ready.headers) == ((503, "not-ready"), False)
        assert slug(await client.post("/synthesize", content=npy(new_mel()))) == (503, "model-failed")


async def test_models_describe_their_mel_config(client, fake):
    document = (await client.get("/models")).json()
    model = document["models"][0]
    assert (model["name"], model["state"], model["family"], model["parameters"]) == ("fake", "ready", "fake", 3)
    fields = {field.name: model["mel"][field.name] for field in dataclasses.fields(MelConfig)}
    assert MelConfig(**fields) == fake.mel_config
    assert model["mel"]["layout"] == "(n_mels, frames)"
    assert model["mel"]["plausible_range"][0] < model["mel"]["silence"] == pytest.approx(np.log(1e-5), abs=1e-4)
    assert model["limits"]["max_frames"] == 4096
    assert document["mel_presets"] == list(PRESETS)
    assert set(document["response_formats"]) == {"wav", "wav_f32", "flac", "opus", "mp3", "pcm", "pcm_f32", "npy"}
    assert (await client.get("/models/fake")).json() == model
    assert slug(await client.get("/models/other")) == (404, "unknown-model")


async def test_metrics_count_requests_frames_and_problems(client, new_mel):
    for _ in range(3):
        await client.post("/synthesize?format=flac", content=npy(new_mel()))
    await client.post("/v1/synthesize?format=wav", content=npy(new_mel(n_mels=79)))
    await client.get("/nowhere")
    values = await scrape(client)
    expected = {
        "requests_total code=200 method=POST route=/synthesize": 3,
        "requests_total code=422 method=POST route=/v1/synthesize": 1,
        "requests_total code=404 method=GET route=unmatched": 1,
        "problems_total problem=invalid-mel": 1,
        "frames_total model=fake": 36,
        "audio_seconds_total model=fake": pytest.approx(36 * 256 / 22050),
        "infer_seconds_count model=fake": 3,
        "queue_seconds_count model=fake": 3,
        "encode_seconds_count format=flac": 3,
        "request_seconds_count route=/synthesize": 3,
        "ready model=fake": 1,
        "model_info device=cpu dtype=float32 family=fake model=fake weights_sha256=0123": 1,
        "queued_requests model=fake": 0,
        "queued_frames model=fake": 0,
    }
    assert {name: values[f"vocoder_{name}"] for name in expected} == expected


async def test_odd_addresses_methods_request_ids_and_ranges_are_handled(client):
    missing = await client.get("/secret-address")
    assert (slug(missing), "secret" in missing.text) == ((404, "not-found"), False)
    wrong = await client.get("/synthesize")
    assert (*slug(wrong), wrong.headers["allow"]) == (405, "method-not-allowed", "POST")
    assert wrong.json()["detail"] == "This address takes POST, not GET."
    for request_id in ("", "a b", "x" * 129, "<script>", "é"):
        response = await client.get("/livez", headers={"X-Request-Id": request_id.encode()})
        assert len(response.headers["x-request-id"]) == 32
    assert (await client.head("/synthesize")).status_code == 405
    for path in ("/livez", "/v2/health/ready", "/v1/models/fake", "/v2", "/metrics", "/openapi.json"):
        head, whole = await client.head(path), await client.get(path)
        assert (head.status_code, head.headers["content-type"]) == (200, whole.headers["content-type"]), path
    for text in ("bytes=0-9", "bytes=9-2", "bytes=9999999-", "x"):
        response = await client.get("/", headers={"Range": text})
        assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")


async def test_internal_errors_carry_the_request_id(start, monkeypatch):
    monkeypatch.setattr("server.routes.models.mel_range", Mock(side_effect=KeyError("secret")))
    async with start() as client:
        response = await client.get("/models", headers={"X-Request-Id": "find-me"})
        assert slug(response) == (500, "internal-error")
        assert response.headers["x-request-id"] == response.json()["request_id"] == "find-me"
        assert "secret" not in response.text
        assert (await scrape(client))["vocoder_problems_total problem=internal-error"] == 1
