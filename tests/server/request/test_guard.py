import math
from unittest.mock import ANY

import numpy as np
import pytest
from http_helpers import npy
from recordings import mel_of

GUARD_HEADERS = ("X-Mel-Guard", "X-Mel-Guard-Typicality", "X-Mel-Guard-Message")


@pytest.fixture
def mel():
    return mel_of("nvidia").numpy()


async def post(client, mel, **query):
    return await client.post("/v1/synthesize", params=query, content=npy(mel.astype(np.float32)))


def guard_headers(response):
    return [response.headers.get(name) for name in GUARD_HEADERS]


async def test_guard_modes_report_reject_or_ignore_unlikely_mels(client, mel):
    cause, typicality, message = guard_headers(await post(client, mel[:, :100], guard="strict"))
    assert (cause, 0 <= int(str(typicality)) <= 100, message) == ("typical", True, None)
    decimal = mel / math.log(10.0)
    advice = "The mel looks like decimal logarithms: multiply by ln(10) = 2.302585."
    assert guard_headers(await post(client, decimal)) == ["log10", "0", advice]
    rejected = await post(client, decimal, guard="strict")
    document = rejected.json()
    assert (rejected.status_code, document["type"]) == (422, "urn:vocoder:problem:unlikely-mel")
    assert document["detail"] == document["guard"]["message"]
    assert (document["guard"]["cause"], document["guard"]["typical"]) == ("log10", False)
    unchecked = await post(client, decimal, guard="off")
    assert (unchecked.status_code, guard_headers(unchecked)) == (200, [None, None, None])


async def test_streams_report_verdicts_and_the_default_mode_is_a_setting(start, streamer, mel):
    decimal = mel / math.log(10.0)
    async with start(streamer, guard="strict") as client:
        for stream in ({}, {"stream": 1}):
            assert guard_headers(await post(client, mel, **stream))[0] == "typical"
            assert (await post(client, decimal, **stream)).status_code == 422
            assert guard_headers(await post(client, decimal, guard="warn", **stream))[0] == "log10"


async def test_errors_for_impossible_values_include_the_verdict(client, mel):
    decibels = mel * 20.0 / math.log(10.0)
    document = (await post(client, decibels)).json()
    assert (document["type"], document["guard"]["cause"]) == ("urn:vocoder:problem:invalid-mel", "decibels")
    assert "The mel looks like decibels: multiply by ln(10) / 20 = 0.115129. If it is lib" in document["detail"]
    likeliest = document["guard"]["likeliest"][0]  # bands are not recognised reliably in decibels
    assert likeliest == {"convention": "decibels", "preset": None, "probability": ANY}
    assert "guard" not in (await post(client, decibels, guard="off")).json()


async def infer(client, mel, **parameters):
    tensor = {"name": "mel", "datatype": "FP32", "shape": list(mel.shape), "data": mel.ravel().tolist()}
    body = {"inputs": [tensor], "parameters": {"seed": 1, **parameters}}
    return await client.post("/v2/models/fake/infer", json=body)


async def test_the_inference_protocol_returns_verdicts_in_parameters(client, mel):
    parameters = (await infer(client, mel[None, :, :100])).json()["parameters"]
    assert parameters["mel_guard"] == "typical"
    assert 0 <= parameters["mel_guard_typicality"] <= 100
    assert "mel_guard_message" not in parameters
    parameters = (await infer(client, mel[:, :100] / math.log(10.0))).json()["parameters"]
    assert (parameters["mel_guard"], parameters["mel_guard_typicality"]) == ("log10", 0)
    assert parameters["mel_guard_message"].startswith("The mel looks like decimal logarithms")
    unchecked = await infer(client, mel[:, :100] / math.log(10.0), guard="off")
    assert unchecked.json()["parameters"].keys() == {"sample_rate", "seed", "model_dtype", "mel_sharpened"}


async def test_auto_recognises_adapts_and_reports_the_preset(client, mel):
    r9y9 = mel_of("r9y9").numpy()
    own = await post(client, mel[:, :150], preset="auto")
    assert (own.status_code, own.headers["X-Mel-Recognised"], guard_headers(own)[0]) == (200, "nvidia", "typical")
    assert "X-Mel-Preset" not in own.headers
    other = await post(client, r9y9[:, :150], preset="auto", guard="strict")
    assert (other.status_code, other.headers["X-Mel-Recognised"]) == (200, "r9y9")
    assert (other.headers["X-Mel-Preset"], other.headers["X-Mel-Adapted"]) == ("r9y9", "r9y9")
    inferred = (await infer(client, r9y9[:, :150], preset="auto")).json()["parameters"]
    assert (inferred["mel_recognised"], inferred["mel_adapted"]) == ("r9y9", "r9y9")


async def test_presets_are_suggested_and_auto_rejects_uncertain_mels(client, mel):
    noise = np.random.default_rng(0).uniform(-6.0, -5.0, (80, 40))
    document = (await post(client, noise, preset="auto")).json()
    assert document["type"] == "urn:vocoder:problem:unsure-preset"
    assert document["detail"].startswith("preset=auto ")
    assert len(document["likeliest"]) == 3
    assert "it looks transposed" in (await post(client, mel[:, :150].T, preset="auto")).json()["detail"]
    assert (await post(client, mel[:, :50], preset="auto", mean="1", variance="1")).status_code == 422
    response = await post(client, mel_of("espnet").numpy()[:, :150])
    assert response.headers["X-Mel-Guard-Preset"] == "espnet"
    assert "preset=espnet" in response.headers["X-Mel-Guard-Message"]
