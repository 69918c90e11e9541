"""POST /synthesize with what cannot be synthesized: each mistake is a problem that says what would be right."""

import asyncio
import json

import numpy as np
import pytest
from answers import npy, problem, samples

from vocoder.mel.config import preset

pytestmark = pytest.mark.anyio

JSON = {"Content-Type": "application/json"}
KNOWN = (
    "the parameters are sigma, seed, denoise, corrections, preset, adapt, mean, variance, guard, gain, loudness, "
    "model, format, sample_rate, stream"
)


async def test_mels_that_are_not_of_the_mel_config(client, new_mel):
    mel = new_mel()
    for wrong, words in (
        (mel[:79], "must be (80, frames)"),
        (mel.T, "transposed"),
        (mel[0], "Send one mel per request, of shape (80, frames), not an array of shape (12,)."),
        (np.stack([mel, mel]), "Send one mel per request"),
    ):
        detail = problem(await client.post("/synthesize", content=npy(wrong)), 422, "invalid-mel")["detail"]
        assert (words in detail, detail[-1]) == (True, "."), detail
    body = json.dumps({"mel": [[float("nan")] * 4] * 80})
    response = await client.post("/synthesize", content=body, headers=JSON)
    assert "not finite" in problem(response, 422, "invalid-mel")["detail"]


async def test_limits(start, new_mel):
    async def endless():
        for _ in range(100):
            yield bytes(100)
        pytest.fail("the server read on")

    async def slow():
        yield b"x"
        await asyncio.sleep(30.0)

    async with start(max_frames=5, max_body_bytes=2000, max_json_bytes=1024, body_timeout=0.05) as client:
        refused = await client.post("/synthesize", content=npy(new_mel(6).astype("f2")))
        assert problem(refused, 413, "too-many-frames")["limit_frames"] == 5
        problem(await client.post("/synthesize", content=bytes(2001)), 413, "body-too-large")
        problem(await client.post("/synthesize", content=bytes(2000)), 400, "malformed-body")
        problem(await client.post("/synthesize", content=endless()), 413, "body-too-large")
        problem(await client.post("/synthesize", content=bytes(1025), headers=JSON), 413, "body-too-large")
        problem(await client.post("/synthesize", content=slow()), 408, "body-timeout")


async def test_what_cannot_be_taken_or_given(client, new_mel):
    for query, headers, status, kind in (
        ("", {"Content-Type": "text/plain"}, 415, "unsupported-media-type"),
        ("", {"Content-Encoding": "gzip"}, 415, "unsupported-content-encoding"),
        ("", {"Accept": "text/html"}, 406, "not-acceptable"),
        ("?format=aac", {}, 406, "not-acceptable"),
        ("?format=mp3&stream=1", {}, 406, "not-acceptable"),
    ):
        answer = await client.post(f"/synthesize{query}", content=npy(new_mel()), headers=headers)
        document = problem(answer, status, kind)
    assert "Streams are sent in format=wav|flac|opus|pcm" in document["detail"]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        *((f"sigma={value}", "sigma") for value in ("nan", "-1", "inf", "shrill")),
        *((f"seed={value}", "seed") for value in (-1, 1.5, 2**63)),
        *((f"denoise={value}", "denoise") for value in ("nan", 2)),
        ("corrections=-1", "corrections"),
        ("model=" + "x" * 300, "model"),
        ("gain=61", "gain"),
        *((f"loudness={value}", "loudness") for value in ("1", "-20&gain=1", "-20&stream=1", "-20")),
        ("sgima=0.5", "(unknown)"),
    ],
)
async def test_parameters_that_are_not_valid(client, new_mel, query, parameter):
    document = problem(await client.post(f"/synthesize?{query}", content=npy(new_mel())), 422, "invalid-parameter")
    assert [error["parameter"] for error in document["errors"]] == [parameter]
    assert not {word for word in ("shrill", "xxx", "sgima") if word in json.dumps(document)}
    assert document["detail"].endswith(KNOWN) == (parameter == "(unknown)")
    assert ("did you mean sigma?" in document["detail"]) == (query == "sgima=0.5")


async def test_mels_that_audio_cannot_be_corrected_towards(start, new_fake, new_mel):
    body = npy(new_mel(level=-3.0))
    async with start(new_fake(mel_config=preset("espnet"))) as client:
        for query in ("corrections=1", "corrections=40&stream=1"):
            response = await client.post(f"/synthesize?{query}", content=body)
            document = problem(response, 422, "invalid-parameter")
            assert document["errors"][0]["parameter"] == "corrections"
            assert "give 0" in document["detail"]
        for query in ("corrections=0&format=npy&seed=1", "format=npy&seed=1"):
            assert samples(await client.post(f"/synthesize?{query}", content=body)).any()
