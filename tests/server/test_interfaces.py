"""Every interface gives the same results and errors: whole and streamed HTTP, WebSocket, and /v2."""

from contextlib import suppress
from dataclasses import replace

import httpx
import numpy as np
import pytest
import torch
from http_helpers import PROBLEM, TIMEOUT, npy
from recordings import mel_of
from scipy.ndimage import gaussian_filter
from stream_client import dial
from streamers import mel_of as random_mel
from websockets.exceptions import ConnectionClosed

from vocoder.audio.resampling import resample
from vocoder.checkpoint import load_model
from vocoder.client import Client
from vocoder.mel.config import preset
from vocoder.synthesis.synthesizer import Synthesizer

FRAMES = 90
STATISTICS = {"mean": -3.0, "variance": [4.0] * 80}
CASES = [{}, {"sigma": 0.2}, {"denoise": 0.5}, {"corrections": 0}, {"corrections": 3}, {"sharpen": 0.7}, {"gain": -6.0}]
CASES += [{"preset": name} for name in ("hifigan", "vocos", "speecht5")]
CASES += [{"sample_rate": 16000}, {"preset": "espnet", **STATISTICS}]


@pytest.fixture(scope="module")
def synthesizer(model):
    return Synthesizer(load_model(model), "tiny", "cpu", torch.float32, "off")


def post(url, mel, options, **more):
    query = {k: ",".join(map(str, v)) if isinstance(v, list) else v for k, v in options.items()} | more
    return httpx.post(f"{url}/v1/synthesize", params=query, content=npy(mel), timeout=TIMEOUT)


def whole_http(url, mel, options):
    with Client(url, trust_env=False) as client:
        speech = client.synthesize(mel, **options)
    return speech.x, speech.sample_rate, speech.adapted


def streamed_http(url, mel, options):
    answer = post(url, mel, options, stream=1, format="pcm_f32")
    x = np.frombuffer(answer.raise_for_status().content, "<f4")
    assert answer.headers["X-Audio-Samples"] == str(len(x))
    return x, int(answer.headers["X-Sample-Rate"]), answer.headers.get("X-Mel-Adapted")


def streamed(client, mel, **options):
    pieces = (mel[:, start : start + 7] for start in range(0, mel.shape[1], 7))
    with client.stream(pieces, **options) as speech:
        speech.x = np.concatenate(list(speech))
    return speech


def websocket(url, mel, options):
    with Client(url, trust_env=False) as client:
        speech = streamed(client, mel, **options)
    assert (speech.end.frames, speech.end.samples) == (FRAMES, len(speech.x))
    return speech.x, speech.start.sample_rate, speech.start.adapted


def infer(url, mel, options, model="tiny"):
    tensor = {"name": "mel", "datatype": "FP32", "shape": list(mel.shape), "data": np.nan_to_num(mel).ravel().tolist()}
    body = {"inputs": [tensor], "parameters": options}
    return httpx.post(f"{url}/v2/models/{model}/infer", json=body, timeout=TIMEOUT)


def protocol(url, mel, options):
    answer = infer(url, mel, options).raise_for_status().json()
    parameters = answer["parameters"]
    return np.float32(answer["outputs"][0]["data"]), parameters["sample_rate"], parameters.get("mel_adapted")


def expected(synthesizer, mel, config, sample_rate=None, gain=0.0, **options):
    options = {name: value for name, value in options.items() if name not in ("preset", *STATISTICS)}
    x = 10 ** (gain / 20.0) * synthesizer.synthesize(mel, preset=config, **options)
    return x if sample_rate is None else resample(x, synthesizer.sample_rate, sample_rate)


def test_every_interface_gives_the_same_audio_as_python(ready, synthesizer):
    with ready(synthesizer, guard="off") as url:
        for chosen in CASES:
            config, options = preset(chosen.get("preset", "nvidia")), {"seed": 3, **chosen}
            mel = mel_of(config)[:, :FRAMES].numpy()
            if "mean" in chosen:
                config = replace(config, mean=(-3.0,) * 80, variance=(4.0,) * 80)
                mel = (mel + 3.0) / 2.0
            x, adapted = expected(synthesizer, mel, config, **options), synthesizer.path(config).adapted
            for interface in (whole_http, streamed_http, websocket, *([] if "sample_rate" in chosen else [protocol])):
                found, rate, used_adapter = interface(url, mel, options)
                assert (rate, used_adapter) == (chosen.get("sample_rate", 22050), adapted), (chosen, interface)
                np.testing.assert_allclose(found, x, rtol=0, atol=1e-5, err_msg=f"{chosen} {interface}")
        assert np.abs(x).max() > 0.01


def test_responses_report_the_strength_of_sharpening(ready, synthesizer):
    sharp = mel_of("nvidia").numpy()
    smooth = gaussian_filter(sharp, (2.0, 2.0))
    with ready(synthesizer) as url:
        for mel, options in ((sharp, {}), (smooth, {"sharpen": 0})):
            assert "X-Mel-Sharpened" not in post(url, mel, options).headers
        strength = post(url, smooth, {}).headers["X-Mel-Sharpened"]
        assert 0.5 < float(strength) <= 1
        with Client(url, trust_env=False) as client:
            found = [client.synthesize(mel).sharpened for mel in (sharp, smooth)]
            ends = [streamed(client, mel).end.sharpened for mel in (sharp, smooth)]
            assert streamed(client, smooth, sharpen=0.25).end.sharpened == 0.25
        assert found == ends == [synthesizer.check(mel).smoothness for mel in (sharp, smooth)] == [0, float(strength)]
        assert post(url, smooth, {}, stream=1).headers["X-Mel-Sharpened"] == strength
        assert infer(url, smooth, {}).json()["parameters"]["mel_sharpened"] == float(strength)


MEL, LOUD = random_mel(150), np.random.default_rng(0).uniform(-2.0, 2.0, (80, 100)).astype(np.float32)
INVALID = [
    ({"sigma": 3}, MEL, 422, "invalid-parameter", "sigma"),
    ({"corrections": 101}, MEL, 422, "invalid-parameter", "less than or equal to 100"),
    ({"sharpen": 1.5}, MEL, 422, "invalid-parameter", "less than or equal to 1"),
    ({"sharpen": True}, MEL, 422, "invalid-parameter", "valid number"),
    ({"corrections": 1.5}, MEL, 422, "invalid-parameter", "corrections"),
    ({"sgima": 1}, MEL, 422, "invalid-parameter", "sgima: there is no such parameter (did you mean sigma?); the "),
    ({"guard": "loud"}, MEL, 422, "invalid-parameter", "guard"),
    ({"preset": "nothing"}, MEL, 422, "unknown-preset", "nvidia"),
    ({"preset": "espnet", "adapt": "off"}, MEL, 422, "mel-mismatch", "f_min is 80.0, not 0.0"),
    ({"preset": "espnet", "mean": [0.0] * 80}, MEL, 422, "invalid-parameter", "variance must be given together"),
    *(({**STATISTICS, "mean": m}, MEL, 422, "invalid-parameter", "80 finite numbers") for m in ([1.0, 2.0], [True])),
    ({**STATISTICS, "mean": ["-1", *[""] * 79]}, MEL, 422, "invalid-parameter", "must be 80 finite numbers"),
    ({"preset": "espnet", **STATISTICS, "variance": [-1.0] * 80}, MEL, 422, "invalid-parameter", "must be positive"),
    ({**STATISTICS, "variance": 1e-320}, MEL, 422, "invalid-parameter", "variance: must be positive"),
    ({**STATISTICS, "mean": 1e300}, MEL, 422, "invalid-parameter", "mean: must be finite and below"),
    ({}, MEL - 90.0, 422, "invalid-mel", "digital silence is"),
    ({}, np.exp(MEL), 422, "invalid-mel", "digital silence is"),
    ({"preset": "espnet"}, LOUD, 422, "invalid-mel", "After conversion from 'espnet'"),
    ({"guard": "strict"}, MEL, 422, "unlikely-mel", "does not look like speech"),
    ({}, random_mel(201), 413, "too-many-frames", "200 frames"),
]


def websocket_problem(url, mel, options):
    with dial(url) as client:
        client.hello(**options)
        problem = client.text()
        if problem["type"] == "ready":
            with suppress(ConnectionClosed):  # earlier pieces may already be rejected
                client.send(mel, 50)
            problem, *closed = client.problem()
            assert closed == [4000 + problem["status"], problem["type"].removeprefix(PROBLEM)]
        return problem


def test_every_interface_rejects_the_same_requests(ready, streamer):
    with ready(streamer, max_frames=200) as url:
        for options, mel, status, kind, detail in INVALID:
            answers = [post(url, mel, options), post(url, mel, options, stream=1)]
            assert [answer.status_code for answer in answers] == [status] * 2, (options, detail)
            for document in (*(answer.json() for answer in answers), websocket_problem(url, mel, options)):
                assert (document["type"], document["status"]) == (PROBLEM + kind, status), (options, detail)
                assert detail in document["detail"]
            answer = infer(url, mel, options, "streamer")
            assert (answer.status_code in (400, status), detail in answer.json()["error"]) == (True, True), detail
