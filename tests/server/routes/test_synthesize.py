"""POST /synthesize: audio, headers, and helpful problems for invalid requests."""

import io
import json
import math

import numpy as np
import pytest
import soundfile
from http_helpers import npy, problem, samples
from safetensors.numpy import save

from vocoder import __version__
from vocoder.audio.writing import Origin, audio_info
from vocoder.mel.config import preset

RATE, HOP = 22050, 256


@pytest.mark.parametrize("path", ["/synthesize", "/v1/synthesize"])
async def test_every_body_gives_the_same_audio(client, fake, new_mel, path):
    mel = new_mel()
    raw = {"Content-Type": "application/octet-stream", "X-Mel-Shape": "80,12", "X-Mel-Dtype": "float32"}
    expected = fake.synthesize(mel, sigma=0.9, seed=3, denoise=0.25, corrections=40)
    for body, headers in (
        (npy(mel), {"Content-Type": "application/x-npy"}),
        (save({"mel": mel}), {"Content-Type": "application/vnd.safetensors"}),
        (mel.tobytes(), raw),
        (json.dumps({"mel": mel.tolist()}), {"Content-Type": "application/json; charset=utf-8"}),
    ):
        query = "?seed=3&sigma=0.9&denoise=0.25&corrections=40&format=npy"
        response = await client.post(path + query, content=body, headers=headers)
        np.testing.assert_array_equal(samples(response), expected)


async def test_files_contain_their_origin_unless_a_setting_omits_it(client, new_mel, start):
    for name in ("wav", "wav_f32", "flac", "opus", "mp3"):
        accept = {"Accept": "audio/ogg"} if name == "opus" else {}
        query = "seed=3" if accept else f"seed=3&format={name}"
        response = await client.post(f"/synthesize?{query}", content=npy(new_mel()), headers=accept)
        origin = Origin(response.headers["X-Model"], __version__, 3, dtype=response.headers["X-Model-Dtype"])
        assert Origin.of_json(response.headers["X-Audio-Origin"]) == origin
        assert audio_info(io.BytesIO(response.content)).origin == origin
        x, sample_rate = soundfile.read(io.BytesIO(response.content))
        assert sample_rate == int(response.headers["x-sample-rate"]) == (24000 if name == "opus" else RATE)
        assert len(x) == int(response.headers["x-audio-samples"]) == -(-12 * HOP * sample_rate // RATE)
    async with start(origin=False) as client:
        response = await client.post("/synthesize", content=npy(new_mel()))
    assert "X-Audio-Origin" not in response.headers
    assert audio_info(io.BytesIO(response.content)).origin is None


async def test_gain_and_loudness_scale_the_audio(client, new_mel):
    url = "/synthesize?seed=3&format=npy"
    plain, soft = [await client.post(url + gain, content=npy(new_mel())) for gain in ("", "&gain=-20")]
    assert (plain.headers.get("x-gain"), soft.headers["x-gain"]) == (None, "-20.0")
    np.testing.assert_allclose(samples(soft), np.float32(0.1) * samples(plain), rtol=1e-6)
    soft, loud = [await client.post(f"{url}&loudness={lufs}", content=npy(new_mel(100))) for lufs in (-30, -20)]
    assert float(loud.headers["x-gain"]) == pytest.approx(float(soft.headers["x-gain"]) + 10.0)
    np.testing.assert_allclose(samples(loud), samples(soft) * 10**0.5, rtol=1e-5)


async def test_headers_describe_the_audio_and_the_seed_reproduces_it(client, new_mel):
    options = {"params": {"seed": 77, "sample_rate": 16000}, "headers": {"X-Request-Id": "abc.1"}}
    headers = (await client.post("/synthesize", content=npy(new_mel()), **options)).headers
    expected = {"request-id": "abc.1", "model": "fake", "seed": "77", "sample-rate": "16000", "clipped-samples": "0"}
    assert {name: headers[f"x-{name}"] for name in expected} == expected
    assert int(headers["x-audio-samples"]) == math.ceil(12 * HOP * 16000 / RATE)
    assert float(headers["x-audio-duration"]) == pytest.approx(int(headers["x-audio-samples"]) / 16000, abs=1e-6)
    assert float(headers["x-rtf"]) > 0.0
    stages = [part.split(";dur=") for part in headers["server-timing"].split(", ")]
    assert [stage for stage, _ in stages] == ["read", "decode", "queue", "infer", "encode"]
    assert all(float(milliseconds) >= 0.0 for _, milliseconds in stages)
    first, second = [await client.post("/synthesize?format=npy", content=npy(new_mel())) for _ in range(2)]
    again = await client.post(f"/synthesize?format=npy&seed={first.headers['x-seed']}", content=npy(new_mel()))
    assert first.headers["x-seed"] != second.headers["x-seed"]
    assert not np.array_equal(samples(first), samples(second))
    np.testing.assert_array_equal(samples(first), samples(again))


async def test_clipping_is_reported_and_does_not_wrap(client, fake, new_mel):
    fake.gain = -10.0
    response = await client.post("/synthesize?seed=1&format=pcm", content=npy(new_mel()))
    x, clipped = fake.synthesize(new_mel(), seed=1), int(response.headers["x-clipped-samples"])
    assert clipped == np.count_nonzero(np.abs(x) > 1.0) > 0
    np.testing.assert_allclose(np.frombuffer(response.content, "<i2") / 32768.0, np.clip(x, -1, 1), atol=1.01 / 32768)
    assert f'vocoder_clipped_samples_total{{model="fake"}} {float(clipped)}' in (await client.get("/metrics")).text


async def test_models_are_chosen_by_name(start, new_fake, new_mel):
    one, two = new_fake("one"), new_fake("two")
    two.gain = 0.5
    async with start(one, two) as client:
        for fake, query in ((one, ""), (one, "&model=one"), (two, "&model=two")):
            response = await client.post(f"/synthesize?seed=1&format=npy{query}", content=npy(new_mel()))
            assert response.headers["x-model"] == fake.name
            np.testing.assert_array_equal(samples(response), fake.synthesize(new_mel(), seed=1))
        document = problem(await client.post("/synthesize?model=three", content=b"x"), 404, "unknown-model")
        assert document["models"] == ["one", "two"]
        assert "--model NAME --model NAME" in document["detail"]


JSON = {"Content-Type": "application/json"}
KNOWN = (
    "the parameters are sigma, seed, denoise, corrections, sharpen, preset, adapt, mean, variance, guard, gain, "
    "loudness, model, format, sample_rate, stream"
)


async def test_mels_that_do_not_fit_the_mel_config_are_rejected(client, new_mel):
    mel = new_mel()
    for invalid, message in (
        (mel[:79], "must be (80, frames)"),
        (mel.T, "transposed"),
        (mel[0], "Send one mel per request, of shape (80, frames), not an array of shape (12,)."),
        (np.stack([mel, mel]), "Send one mel per request"),
    ):
        detail = problem(await client.post("/synthesize", content=npy(invalid)), 422, "invalid-mel")["detail"]
        assert (message in detail, detail[-1]) == (True, "."), detail
    body = json.dumps({"mel": [[float("nan")] * 4] * 80})
    response = await client.post("/synthesize", content=json.dumps({"mel": mel.tolist(), "seed": 1}), headers=JSON)
    assert problem(response, 400, "malformed-body")["detail"].endswith("with options in the query.")
    response = await client.post("/synthesize", content=body, headers=JSON)
    assert "not finite" in problem(response, 422, "invalid-mel")["detail"]


async def test_limits_on_frames_and_bodies(start, new_mel):
    async def endless():
        for _ in range(100):
            yield bytes(100)
        pytest.fail("the server kept reading")

    async with start(max_frames=5, max_body_bytes=2000, max_json_bytes=1024) as client:
        rejected = await client.post("/synthesize", content=npy(new_mel(6).astype("f2")))
        assert problem(rejected, 413, "too-many-frames")["limit_frames"] == 5
        problem(await client.post("/synthesize", content=bytes(2001)), 413, "body-too-large")
        problem(await client.post("/synthesize", content=bytes(2000)), 400, "malformed-body")
        problem(await client.post("/synthesize", content=endless()), 413, "body-too-large")
        problem(await client.post("/synthesize", content=bytes(1025), headers=JSON), 413, "body-too-large")


async def test_unsupported_types_and_formats_are_rejected(client, new_mel):
    for query, headers, status, kind in (
        ("", {"Content-Type": "text/plain"}, 415, "unsupported-media-type"),
        ("", {"Content-Encoding": "gzip"}, 415, "unsupported-content-encoding"),
        ("", {"Accept": "text/html"}, 406, "not-acceptable"),
        ("?format=aac", {}, 406, "not-acceptable"),
        ("?format=mp3&stream=1", {}, 406, "not-acceptable"),
    ):
        answer = await client.post(f"/synthesize{query}", content=npy(new_mel()), headers=headers)
        document = problem(answer, status, kind)
    assert "This server streams format=wav|flac|opus|pcm" in document["detail"]
    many = await client.post("/synthesize?" + "&".join(f"p{number}" for number in range(1000)), content=b"x")
    assert len(problem(many, 422, "invalid-parameter")["errors"]) == 16
    two_values = [("Accept", "text/html"), ("Accept", "audio/flac")]
    accepted = await client.post("/synthesize", content=npy(new_mel()), headers=two_values)
    assert accepted.headers["content-type"] == "audio/flac"


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        *((f"sigma={value}", "sigma") for value in ("nan", "-1", "inf", "shrill")),
        *((f"seed={value}", "seed") for value in (-1, 1.5, 2**63)),
        *((f"denoise={value}", "denoise") for value in ("nan", 2)),
        *((f"{name}={value}", name) for name, value in (("corrections", -1), ("gain", 61), ("model", "x" * 300))),
        ("sharpen=0&sharpen=1", "sharpen"),
        *((f"loudness={value}", "loudness") for value in ("1", "-20&gain=1", "-20&stream=1", "-20")),
        ("sgima=0.5", "sgima"),
        ("%3Cb%3E=1", "(unknown)"),
    ],
)
async def test_invalid_parameters_are_rejected(client, new_mel, query, parameter):
    document = problem(await client.post(f"/synthesize?{query}", content=npy(new_mel())), 422, "invalid-parameter")
    assert [error["parameter"] for error in document["errors"]] == [parameter]
    assert not {word for word in ("shrill", "xxx", "<b>") if word in json.dumps(document)}
    assert document["detail"].endswith(KNOWN) == (parameter in ("sgima", "(unknown)"))
    assert ("did you mean sigma?" in document["detail"]) == (query == "sgima=0.5")


async def test_corrections_are_rejected_for_unsupported_mels(start, new_fake, new_mel):
    body = npy(new_mel(level=-3.0))
    async with start(new_fake(mel_config=preset("espnet"))) as client:
        for query in ("corrections=1", "corrections=40&stream=1"):
            response = await client.post(f"/synthesize?{query}", content=body)
            document = problem(response, 422, "invalid-parameter")
            assert document["errors"][0]["parameter"] == "corrections"
            assert "to 0" in document["detail"]
        for query in ("corrections=0&format=npy&seed=1", "format=npy&seed=1"):
            assert samples(await client.post(f"/synthesize?{query}", content=body)).any()
