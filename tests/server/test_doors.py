"""What a client asks for is given or refused alike at every door: in one answer, in pieces, on a WebSocket, at /v2."""

from contextlib import suppress
from dataclasses import replace

import httpx
import numpy as np
import pytest
import torch
from answers import PROBLEM, TIMEOUT, npy
from recordings import mel_of
from scipy.ndimage import gaussian_filter
from speaker import Speaker
from streamers import mel_of as made_up
from tiny_models import save_quiet_model
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from vocoder.audio.resampling import resample
from vocoder.checkpoint import load_model
from vocoder.client import Client
from vocoder.mel.config import preset
from vocoder.synthesis.synthesizer import Synthesizer

FRAMES = 90
STATISTICS = {"mean": -3.0, "variance": [4.0] * 80}
ASKED = [{}, {"sigma": 0.2}, {"denoise": 0.5}, {"corrections": 0}, {"corrections": 3}, {"sharpen": 0.7}, {"gain": -6.0}]
ASKED += [{"preset": name} for name in ("hifigan", "vocos", "speecht5")]
ASKED += [{"sample_rate": 16000}, {"preset": "espnet", **STATISTICS}]


@pytest.fixture(scope="module")
def voice(tmp_path_factory):
    checkpoint = load_model(save_quiet_model(tmp_path_factory.mktemp("models") / "tiny"))
    return Synthesizer(checkpoint, "tiny", "cpu", torch.float32, "off")


def posted(url, mel, options, **more):
    query = {k: ",".join(map(str, v)) if isinstance(v, list) else v for k, v in options.items()} | more
    return httpx.post(f"{url}/v1/synthesize", params=query, content=npy(mel), timeout=TIMEOUT)


def at_once(url, mel, options):
    with Client(url, trust_env=False) as client:
        speech = client.synthesize(mel, **options)
    return speech.x, speech.sample_rate, speech.adapted


def in_pieces(url, mel, options):
    answer = posted(url, mel, options, stream=1, format="pcm_f32")
    x = np.frombuffer(answer.raise_for_status().content, "<f4")
    assert answer.headers["X-Audio-Samples"] == str(len(x))
    return x, int(answer.headers["X-Sample-Rate"]), answer.headers.get("X-Mel-Adapted")


def streamed(client, mel, **options):
    pieces = (mel[:, start : start + 7] for start in range(0, mel.shape[1], 7))
    with client.stream(pieces, **options) as speech:
        speech.x = np.concatenate(list(speech))
    return speech


def over_a_socket(url, mel, options):
    with Client(url, trust_env=False) as client:
        speech = streamed(client, mel, **options)
    assert (speech.end.frames, speech.end.samples) == (FRAMES, len(speech.x))
    return speech.x, speech.start.sample_rate, speech.start.adapted


def inferred(url, mel, options, model="tiny"):
    tensor = {"name": "mel", "datatype": "FP32", "shape": list(mel.shape), "data": np.nan_to_num(mel).ravel().tolist()}
    body = {"inputs": [tensor], "parameters": options}
    return httpx.post(f"{url}/v2/models/{model}/infer", json=body, timeout=TIMEOUT)


def by_protocol(url, mel, options):
    answer = inferred(url, mel, options).raise_for_status().json()
    told = answer["parameters"]
    return np.float32(answer["outputs"][0]["data"]), told["sample_rate"], told.get("mel_adapted")


def expected(voice, mel, config, sample_rate=None, gain=0.0, **options):
    options = {name: value for name, value in options.items() if name not in ("preset", *STATISTICS)}
    x = 10 ** (gain / 20.0) * voice.synthesize(mel, preset=config, **options)
    return x if sample_rate is None else resample(x, voice.sample_rate, sample_rate)


def test_every_door_gives_what_python_gives(ready, voice):
    with ready(voice, guard="off") as url:
        for asked in ASKED:
            config, options = preset(asked.get("preset", "nvidia")), {"seed": 3, **asked}
            mel = mel_of(config)[:, :FRAMES].numpy()
            if "mean" in asked:
                config = replace(config, mean=(-3.0,) * 80, variance=(4.0,) * 80)
                mel = (mel + 3.0) / 2.0
            x, adapted = expected(voice, mel, config, **options), voice.path(config).adapted
            for door in (at_once, in_pieces, over_a_socket, *([] if "sample_rate" in asked else [by_protocol])):
                found, rate, told = door(url, mel, options)
                assert (rate, told) == (asked.get("sample_rate", 22050), adapted), (asked, door)
                np.testing.assert_allclose(found, x, rtol=0, atol=1e-5, err_msg=f"{asked} {door}")
        assert np.abs(x).max() > 0.01


def test_an_answer_tells_how_far_a_smooth_mel_was_sharpened(ready, voice):
    sharp = mel_of("nvidia").numpy()
    smooth = gaussian_filter(sharp, (2.0, 2.0))
    with ready(voice) as url:
        told = [
            posted(url, mel, options).headers.get("X-Mel-Sharpened")
            for mel, options in ((sharp, {}), (smooth, {"sharpen": 0}))
        ]
        assert told == [None, None]
        strength = posted(url, smooth, {}).headers["X-Mel-Sharpened"]
        assert 0.5 < float(strength) <= 1
        with Client(url, trust_env=False) as client:
            told = [client.synthesize(mel).sharpened for mel in (sharp, smooth)]
            ends = [streamed(client, mel).end.sharpened for mel in (sharp, smooth)]
            assert streamed(client, smooth, sharpen=0.25).end.sharpened == 0.25
        assert told == ends == [voice.check(mel).smoothness for mel in (sharp, smooth)] == [0, float(strength)]
        assert posted(url, smooth, {}, stream=1).headers["X-Mel-Sharpened"] == strength
        assert inferred(url, smooth, {}).json()["parameters"]["mel_sharpened"] == float(strength)


MEL, LOUD = made_up(150), np.random.default_rng(0).uniform(-2.0, 2.0, (80, 100)).astype(np.float32)
REFUSED = [
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
    ({"preset": "espnet", **STATISTICS, "mean": [1.0, 2.0]}, MEL, 422, "invalid-parameter", "80 finite numbers"),
    ({"preset": "espnet", **STATISTICS, "variance": [-1.0] * 80}, MEL, 422, "invalid-parameter", "must be positive"),
    ({**STATISTICS, "variance": 1e-320}, MEL, 422, "invalid-parameter", "variance: must be positive"),
    ({**STATISTICS, "mean": 1e300}, MEL, 422, "invalid-parameter", "mean: must be finite and below"),
    ({}, MEL - 90.0, 422, "invalid-mel", "digital silence is"),
    ({}, np.exp(MEL), 422, "invalid-mel", "digital silence is"),
    ({"preset": "espnet"}, LOUD, 422, "invalid-mel", "After conversion from 'espnet'"),
    ({"guard": "strict"}, MEL, 422, "unlikely-mel", "does not look like speech"),
    ({}, made_up(201), 413, "too-many-frames", "200 frames"),
]


def refused_on_a_socket(url, mel, options):
    with connect(f"{url.replace('http', 'ws', 1)}/v1/stream", proxy=None) as connection:
        speaker = Speaker(connection)
        speaker.hello(**options)
        problem = speaker.text()
        if problem["type"] == "ready":
            with suppress(ConnectionClosed):  # by a refusal of the pieces before
                speaker.send(mel, 50)
            problem, *closed = speaker.refusal()
            assert closed == [4000 + problem["status"], problem["type"].removeprefix(PROBLEM)]
        return problem


def test_every_door_refuses_what_python_refuses(ready, streamer):
    with ready(streamer, max_frames=200) as url:
        for options, mel, status, kind, words in REFUSED:
            answers = [posted(url, mel, options), posted(url, mel, options, stream=1)]
            assert [answer.status_code for answer in answers] == [status] * 2, (options, words)
            for document in (*(answer.json() for answer in answers), refused_on_a_socket(url, mel, options)):
                assert (document["type"], document["status"]) == (PROBLEM + kind, status), (options, words)
                assert words in document["detail"]
            answer = inferred(url, mel, options, "streamer")
            assert (answer.status_code in (400, status), words in answer.json()["error"]) == (True, True), words
