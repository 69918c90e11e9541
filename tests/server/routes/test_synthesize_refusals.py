"""POST /synthesize with what cannot be synthesized: each mistake is a problem that says what would be right."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest
from answers import npy, problem, samples

from vocoder.mel.config import preset

pytestmark = pytest.mark.anyio


async def test_a_preset_that_does_not_convert_is_refused_with_the_difference(
    client: httpx.AsyncClient, new_mel: Any
) -> None:
    document = problem(
        await client.post("/synthesize?preset=vocos&adapt=off", content=npy(new_mel(n_mels=100))), 422, "mel-mismatch"
    )
    assert "sample_rate is 24000, not 22050" in document["detail"]
    assert any(text.startswith("n_mels") for text in document["differences"])
    unknown = problem(await client.post("/synthesize?preset=nothing", content=b"x"), 422, "unknown-preset")
    assert "nvidia" in unknown["presets"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda mel: mel[:79], "must be (80, frames)"),
        (lambda mel: mel.T, "transposed"),
        (lambda mel: np.where(mel < -5.0, np.nan, mel), "not finite"),
        (lambda mel: mel * 20.0, "digital silence is"),
    ],
)
async def test_mels_that_are_not_of_the_contract(
    client: httpx.AsyncClient, new_mel: Any, change: Any, words: str
) -> None:
    response = await client.post("/synthesize", content=npy(change(new_mel())))
    assert words in problem(response, 422, "invalid-mel")["detail"]


async def test_nan_in_json_is_a_problem_too(client: httpx.AsyncClient) -> None:
    body = json.dumps({"mel": [[float("nan")] * 4] * 80})
    response = await client.post("/synthesize", content=body, headers={"Content-Type": "application/json"})
    assert "not finite" in problem(response, 422, "invalid-mel")["detail"]


async def test_lying_and_empty_bodies(client: httpx.AsyncClient, new_mel: Any) -> None:
    claims_32_gigabytes = npy(new_mel())[:128].replace(b"(80, 12), }        ", b"(80, 100000000), } ")
    assert len(claims_32_gigabytes) == 128
    assert b"100000000" in claims_32_gigabytes
    for body in (claims_32_gigabytes, npy(new_mel())[:-1], npy(np.zeros((80, 0), np.float32)), b""):
        problem(await client.post("/synthesize", content=body), 400, "malformed-body")


async def test_too_many_frames(start: Any, new_mel: Any) -> None:
    async with start(max_frames=12) as client:
        assert (await client.post("/synthesize", content=npy(new_mel(12)))).status_code == 200
        document = problem(await client.post("/synthesize", content=npy(new_mel(13))), 413, "too-many-frames")
        assert document["limit_frames"] == 12


async def test_too_many_bytes_by_length_and_while_reading(start: Any) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield bytes(100)
        pytest.fail("the server read on")

    async with start(max_body_bytes=2000, max_json_bytes=1024) as client:
        problem(await client.post("/synthesize", content=bytes(2001)), 413, "body-too-large")
        problem(await client.post("/synthesize", content=bytes(2000)), 400, "malformed-body")
        problem(await client.post("/synthesize", content=endless()), 413, "body-too-large")
        json_type = {"Content-Type": "application/json"}
        problem(await client.post("/synthesize", content=bytes(1025), headers=json_type), 413, "body-too-large")


async def test_a_slow_body_times_out(start: Any) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(30.0)

    async with start(body_timeout=0.05) as client:
        problem(await client.post("/synthesize", content=slow()), 408, "body-timeout")


async def test_what_cannot_be_taken_or_given(client: httpx.AsyncClient, new_mel: Any) -> None:
    body = npy(new_mel())
    text = await client.post("/synthesize", content=body, headers={"Content-Type": "text/plain"})
    problem(text, 415, "unsupported-media-type")
    gzip = await client.post("/synthesize", content=body, headers={"Content-Encoding": "gzip"})
    problem(gzip, 415, "unsupported-content-encoding")
    problem(await client.post("/synthesize", content=body, headers={"Accept": "text/html"}), 406, "not-acceptable")
    problem(await client.post("/synthesize?format=aac", content=body), 406, "not-acceptable")
    mp3 = await client.post("/synthesize?format=mp3&stream=1", content=body)
    assert "Streams are sent in format=wav|flac|opus|pcm" in problem(mp3, 406, "not-acceptable")["detail"]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("sigma=nan", "sigma"),
        ("sigma=-1", "sigma"),
        ("sigma=inf", "sigma"),
        ("sigma=shrill", "sigma"),
        ("seed=-1", "seed"),
        ("seed=1.5", "seed"),
        (f"seed={2**63}", "seed"),
        ("denoise=nan", "denoise"),
        ("denoise=2", "denoise"),
        ("corrections=-1", "corrections"),
        ("corrections=101", "corrections"),
        ("corrections=1.5", "corrections"),
        ("model=" + "x" * 300, "model"),
        ("gain=61", "gain"),
        ("loudness=1", "loudness"),
        ("loudness=-20&gain=1", "loudness"),
        ("loudness=-20&stream=1", "loudness"),
        ("loudness=-20", "loudness"),  # of 0.14 s
        ("sgima=0.5", "(unknown)"),
    ],
)
async def test_parameters_that_are_not_valid(
    client: httpx.AsyncClient, new_mel: Any, query: str, parameter: str
) -> None:
    document = problem(await client.post(f"/synthesize?{query}", content=npy(new_mel())), 422, "invalid-parameter")
    assert [error["parameter"] for error in document["errors"]] == [parameter]
    assert "shrill" not in json.dumps(document)
    assert "xxx" not in json.dumps(document)
    assert "sgima" not in json.dumps(document)
    known = (
        "the parameters are sigma, seed, denoise, corrections, preset, adapt, mean, variance, guard, gain, "
        "loudness, model, format, sample_rate, stream"
    )
    assert document["detail"].endswith(known) == (parameter == "(unknown)")
    assert ("did you mean sigma?" in document["detail"]) == (query == "sgima=0.5")


async def test_the_range_of_corrections_is_told(client: httpx.AsyncClient, new_mel: Any) -> None:
    document = problem(
        await client.post("/synthesize?corrections=101", content=npy(new_mel())), 422, "invalid-parameter"
    )
    assert "less than or equal to 100" in document["detail"]


async def test_mels_that_audio_cannot_be_corrected_towards(start: Any, new_fake: Any, new_mel: Any) -> None:
    fake = new_fake(mel_config=preset("espnet"))
    body = npy(new_mel(level=-3.0))
    async with start(fake) as client:
        for query in ("corrections=1", "corrections=40&stream=1"):
            response = await client.post(f"/synthesize?{query}", content=body)
            document = problem(response, 422, "invalid-parameter")
            assert document["errors"][0]["parameter"] == "corrections"
            assert "give 0" in document["detail"]
        for query in ("corrections=0&format=npy&seed=1", "format=npy&seed=1"):
            assert samples(await client.post(f"/synthesize?{query}", content=body)).any()


@pytest.mark.parametrize(
    ("fault", "status", "slug"),
    [(RuntimeError("secret"), 500, "synthesis-failed"), (MemoryError(), 507, "out-of-memory")],
)
async def test_a_failing_model(
    client: httpx.AsyncClient, fake: Any, new_mel: Any, fault: Exception, status: int, slug: str
) -> None:
    fake.fault = fault
    response = await client.post("/synthesize", content=npy(new_mel()))
    problem(response, status, slug)
    assert "secret" not in response.text
    fake.fault = None
    assert (await client.post("/synthesize", content=npy(new_mel()))).status_code == 200


async def test_a_model_that_gives_nan(client: httpx.AsyncClient, fake: Any, new_mel: Any) -> None:
    fake.gain = np.nan
    problem(await client.post("/synthesize", content=npy(new_mel())), 500, "synthesis-failed")
