import io
import struct

import numpy as np
import pytest
import soundfile
import torch
from http_helpers import encoded, samples, slug

from vocoder.mel.config import preset
from vocoder.mel.spectrogram import MelSpectrogram

X = (0.3 * np.sin(np.linspace(0.0, 3000.0, 11025))).astype(np.float32)


def mel_of(x, name="nvidia"):
    return MelSpectrogram(preset(name))(torch.from_numpy(x).unsqueeze(0))[0].numpy()


async def test_mels_of_files_can_be_synthesized_and_other_rates_are_resampled(client):
    response = await client.post("/mel", content=encoded(X, subtype="FLOAT"), headers={"Content-Type": "audio/wav"})
    mel = samples(response)
    np.testing.assert_array_equal(mel, mel_of(X))
    assert (mel.dtype, response.headers["content-type"]) == (np.float32, "application/x-npy")
    described = [response.headers[f"x-{name}"] for name in ("mel-config", "mel-shape", "sample-rate")]
    assert described == ["nvidia", f"80,{mel.shape[1]}", "22050"]
    speech = await client.post("/synthesize", content=response.content)
    assert speech.headers["x-audio-samples"] == str(mel.shape[1] * 256)
    tone = (0.5 * np.sin(2 * np.pi * 440.0 * np.arange(44100) / 44100)).astype(np.float32)
    response = await client.post("/mel", content=encoded(tone, 44100, subtype="FLOAT"))
    mel = np.load(io.BytesIO(response.content))
    expected = mel_of((0.5 * np.sin(2 * np.pi * 440.0 * np.arange(22050) / 22050)).astype(np.float32))
    assert mel.shape == expected.shape
    loudest = int(expected[:, 40].argmax())
    np.testing.assert_allclose(mel[loudest, 5:-5], expected[loudest, 5:-5], atol=1e-3)


async def test_other_containers_and_channels_are_read(client):
    stereo = np.stack([X, 0.5 * X[::-1]], axis=1)
    for container, media_type in (("FLAC", "flac"), ("OGG", "ogg"), ("MP3", "mpeg"), ("WAV", "wav")):
        x = stereo if container == "WAV" else X
        body = encoded(x, container=container)
        decoded = soundfile.read(io.BytesIO(body), dtype="float32", always_2d=True)[0].mean(axis=1)
        mel = samples(await client.post("/mel", content=body, headers={"Content-Type": f"audio/{media_type}"}))
        np.testing.assert_allclose(mel, mel_of(decoded), atol=2e-3)
    cut = bytes(100) + encoded(X, container="MP3")  # it does not start with an MP3 frame
    assert slug(await client.post("/mel", content=cut)) == (400, "malformed-body")
    claims = bytearray(encoded(X, subtype="PCM_16"))
    claims[40:44] = struct.pack("<I", 0x7FFFFFF0)
    assert samples(await client.post("/mel", content=bytes(claims))).shape == mel_of(X).shape


async def test_the_mel_config_is_chosen_by_model_or_preset(start, new_fake):
    async with start(new_fake("one"), new_fake("two", preset("hifigan"))) as client:
        response = await client.post("/mel?preset=espnet", content=encoded(X, subtype="FLOAT"))
        np.testing.assert_array_equal(samples(response), mel_of(X, "espnet"))
        response = await client.post("/mel?model=two", content=encoded(X))
        assert response.headers["x-mel-config"] == "hifigan"
        assert slug(await client.post("/mel?preset=nothing", content=encoded(X))) == (422, "unknown-preset")
        for query in ("model=three", "model=three&preset=nvidia"):
            assert slug(await client.post(f"/mel?{query}", content=encoded(X))) == (404, "unknown-model")


async def test_audio_that_is_too_long_is_rejected(start):
    hidden = bytearray(encoded(np.tile(X, 3), container="FLAC"))
    hidden[21] &= 0xF0  # the 36 bits of the number of samples: unknown
    hidden[22:26] = bytes(4)
    async with start(max_audio_seconds=0.5) as client:
        assert (await client.post("/mel", content=encoded(X))).status_code == 200
        long = encoded(np.concatenate([X, X[:1]]))
        assert slug(await client.post("/mel", content=long)) == (413, "audio-too-long")
        assert slug(await client.post("/mel", content=bytes(hidden))) == (422, "invalid-audio")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"not audio at all" * 10, (400, "malformed-body")),
        (encoded(X)[:20], (400, "malformed-body")),
        (encoded(X[:0]), (422, "invalid-audio")),
        (encoded(X[:100]), (422, "invalid-audio")),
        (encoded(X, container="OGG") * 2, (422, "invalid-audio")),
        (encoded(np.zeros((3000, 3), np.float32)), (422, "invalid-audio")),
        (encoded(np.full(3000, np.nan, np.float32), subtype="FLOAT"), (422, "invalid-audio")),
        (encoded(X, 400_000), (422, "invalid-audio")),
        (encoded(X, 22049), (422, "invalid-audio")),
    ],
    ids=["text", "cut", "empty", "short", "chain", "channels", "nan", "rate", "ratio"],
)
async def test_invalid_audio_is_rejected(client, body, expected):
    refused = await client.post("/mel", content=body)
    assert (slug(refused), refused.json()["detail"][0].isupper()) == (expected, True)
    wrong_type = await client.post("/mel", content=body, headers={"Content-Type": "application/json"})
    assert slug(wrong_type) == (415, "unsupported-media-type")
