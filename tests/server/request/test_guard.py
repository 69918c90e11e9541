import math
from unittest.mock import ANY

import numpy as np
import pytest
from answers import npy
from recordings import mel_of

GUARD_HEADERS = ("X-Mel-Guard", "X-Mel-Guard-Typicality", "X-Mel-Guard-Message")


@pytest.fixture
def mel():
    return mel_of("nvidia").numpy()


@pytest.fixture
def espnet():
    return mel_of("espnet").numpy()


async def post(client, mel, **query):
    return await client.post("/v1/synthesize", params=query, content=npy(mel.astype(np.float32)))


def told(response):
    return [response.headers.get(name) for name in GUARD_HEADERS]


async def test_mels_are_judged(client, mel):
    cause, typicality, message = told(await post(client, mel[:, :100], guard="strict"))
    assert (cause, 0 <= int(str(typicality)) <= 100, message) == ("typical", True, None)
    wrong = mel / math.log(10.0)
    advice = "The mel looks like decimal logarithms: multiply by ln(10) = 2.302585."
    assert told(await post(client, wrong)) == ["log10", "0", advice]
    refused = await post(client, wrong, guard="strict")
    document = refused.json()
    assert (refused.status_code, document["type"]) == (422, "urn:vocoder:problem:unlikely-mel")
    assert document["detail"] == document["guard"]["message"]
    assert (document["guard"]["cause"], document["guard"]["typical"]) == ("log10", False)
    silent = await post(client, wrong, guard="off")
    assert (silent.status_code, told(silent)) == (200, [None, None, None])


async def test_streams_tell_it_too_and_a_deployment_chooses_what_is_usual(start, streamer, mel):
    wrong = mel / math.log(10.0)
    async with start(streamer, guard="strict") as client:
        for stream in ({}, {"stream": 1}):
            assert told(await post(client, mel, **stream))[0] == "typical"
            assert (await post(client, wrong, **stream)).status_code == 422
            assert told(await post(client, wrong, guard="warn", **stream))[0] == "log10"


async def test_values_that_the_mel_config_refuses_are_named_too(client, mel):
    decibels = mel * 20.0 / math.log(10.0)
    document = (await post(client, decibels)).json()
    assert (document["type"], document["guard"]["cause"]) == ("urn:vocoder:problem:invalid-mel", "decibels")
    assert "The mel looks like decibels: multiply by ln(10) / 20 = 0.115129. If it is lib" in document["detail"]
    likeliest = document["guard"]["likeliest"][0]  # in decibels bands are not seen reliably, so none are named
    assert likeliest == {"convention": "decibels", "preset": None, "probability": ANY}
    assert "guard" not in (await post(client, decibels, guard="off")).json()


async def infer(client, mel, **parameters):
    tensor = {"name": "mel", "datatype": "FP32", "shape": list(mel.shape), "data": mel.ravel().tolist()}
    body = {"inputs": [tensor], "parameters": {"seed": 1, **parameters}}
    return await client.post("/v2/models/fake/infer", json=body)


async def test_the_inference_protocol_tells_it_in_parameters(client, mel):
    told = (await infer(client, mel[None, :, :100])).json()["parameters"]
    assert told["mel_guard"] == "typical"
    assert 0 <= told["mel_guard_typicality"] <= 100
    assert "mel_guard_message" not in told
    told = (await infer(client, mel[:, :100] / math.log(10.0))).json()["parameters"]
    assert (told["mel_guard"], told["mel_guard_typicality"]) == ("log10", 0)
    assert told["mel_guard_message"].startswith("The mel looks like decimal logarithms")
    silent = await infer(client, mel[:, :100] / math.log(10.0), guard="off")
    assert silent.json()["parameters"].keys() == {"sample_rate", "seed", "model_dtype", "mel_sharpened"}


async def test_auto_recognises_adapts_and_says_so(client, mel, espnet):
    own = await post(client, mel[:, :150], preset="auto")
    assert (own.status_code, own.headers["X-Mel-Recognised"], told(own)[0]) == (200, "nvidia", "typical")
    assert "X-Mel-Preset" not in own.headers
    other = await post(client, espnet[:, :150], preset="auto", guard="strict")
    assert (other.status_code, other.headers["X-Mel-Recognised"]) == (200, "espnet")
    assert (other.headers["X-Mel-Preset"], other.headers["X-Mel-Adapted"]) == ("espnet", "espnet")
    inferred = (await infer(client, espnet[:, :150], preset="auto")).json()["parameters"]
    assert (inferred["mel_recognised"], inferred["mel_adapted"]) == ("espnet", "espnet")


async def test_presets_are_hinted_at_and_auto_refuses_what_it_is_unsure_of(client, mel, espnet):
    noise = np.random.default_rng(0).uniform(-6.0, -5.0, (80, 40))
    document = (await post(client, noise, preset="auto")).json()
    assert document["type"] == "urn:vocoder:problem:unsure-preset"
    assert document["detail"].startswith("preset=auto ")
    assert len(document["likeliest"]) == 3
    assert "it looks transposed" in (await post(client, mel[:, :150].T, preset="auto")).json()["detail"]
    assert (await post(client, mel[:, :50], preset="auto", mean="1", variance="1")).status_code == 422
    response = await post(client, espnet[:, :150])
    assert response.headers["X-Mel-Guard-Preset"] == "espnet"
    assert "preset=espnet" in response.headers["X-Mel-Guard-Message"]
