import io
import json

import numpy as np
import pytest
import soundfile
from answers import npy, problem, samples
from safetensors.numpy import save

from vocoder import __version__
from vocoder.audio.file import audio_info
from vocoder.audio.origin import Origin

pytestmark = pytest.mark.anyio

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


async def test_files_say_where_their_audio_comes_from(client, new_mel):
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


async def test_a_setting_leaves_the_origin_out(start, new_mel):
    async with start(origin=False) as client:
        response = await client.post("/synthesize", content=npy(new_mel()))
    assert "X-Audio-Origin" not in response.headers
    assert audio_info(io.BytesIO(response.content)).origin is None


async def test_a_gain_and_a_loudness(client, new_mel):
    url = "/synthesize?seed=3&format=npy"
    plain, soft = [await client.post(url + gain, content=npy(new_mel())) for gain in ("", "&gain=-20")]
    assert (plain.headers.get("x-gain"), soft.headers["x-gain"]) == (None, "-20.0")
    np.testing.assert_allclose(samples(soft), np.float32(0.1) * samples(plain), rtol=1e-6)
    soft, loud = [await client.post(f"{url}&loudness={lufs}", content=npy(new_mel(100))) for lufs in (-30, -20)]
    assert float(loud.headers["x-gain"]) == pytest.approx(float(soft.headers["x-gain"]) + 10.0)
    np.testing.assert_allclose(samples(loud), samples(soft) * 10**0.5, rtol=1e-5)


async def test_headers_tell_what_was_spoken(client, new_mel):
    response = await client.post("/synthesize?seed=77", content=npy(new_mel()), headers={"X-Request-Id": "abc.1"})
    headers = response.headers
    assert headers["x-request-id"] == "abc.1"
    assert (headers["x-model"], headers["x-seed"], headers["x-sample-rate"]) == ("fake", "77", "22050")
    assert int(headers["x-audio-samples"]) == 12 * HOP
    assert float(headers["x-audio-duration"]) == pytest.approx(12 * HOP / RATE, abs=1e-6)
    assert float(headers["x-rtf"]) > 0.0
    assert headers["x-clipped-samples"] == "0"
    stages = [part.split(";dur=") for part in headers["server-timing"].split(", ")]
    assert [stage for stage, _ in stages] == ["read", "decode", "queue", "infer", "encode"]
    assert all(float(milliseconds) >= 0.0 for _, milliseconds in stages)


async def test_the_seed_is_drawn_reported_and_repeatable(client, new_mel):
    first = await client.post("/synthesize?format=npy", content=npy(new_mel()))
    second = await client.post("/synthesize?format=npy", content=npy(new_mel()))
    again = await client.post(f"/synthesize?format=npy&seed={first.headers['x-seed']}", content=npy(new_mel()))
    assert first.headers["x-seed"] != second.headers["x-seed"]
    assert not np.array_equal(samples(first), samples(second))
    np.testing.assert_array_equal(samples(first), samples(again))


async def test_clipping_is_reported_and_does_not_wrap(client, fake, new_mel):
    fake.gain = -10.0
    response = await client.post("/synthesize?seed=1&format=pcm", content=npy(new_mel()))
    x = fake.synthesize(new_mel(), seed=1)
    clipped = int(response.headers["x-clipped-samples"])
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
        missing = await client.post("/synthesize?model=three", content=npy(new_mel()))
        document = problem(missing, 404, "unknown-model")
        assert document["models"] == ["one", "two"]
        assert "--model reverse --model reverse-24k" in document["detail"]
