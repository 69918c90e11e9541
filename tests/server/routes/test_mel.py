"""POST /mel: the mel of an audio file, the same that the package computes."""

from __future__ import annotations

import io
import struct
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
import torch

from vocoder.mel.config import preset
from vocoder.mel.spectrogram import MelSpectrogram

pytestmark = pytest.mark.anyio

X = (0.3 * np.sin(np.linspace(0.0, 3000.0, 11025))).astype(np.float32)


def audio(x: Any, sample_rate: int = 22050, container: str = "WAV", subtype: str | None = None) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, x, sample_rate, format=container, subtype=subtype)
    return stream.getvalue()


def mel_of(x: Any, name: str = "nvidia") -> Any:
    return MelSpectrogram(preset(name))(torch.from_numpy(x).unsqueeze(0))[0].numpy()


def slug(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["type"].rpartition(":")[2]


async def test_the_mel_of_a_file(client: httpx.AsyncClient) -> None:
    response = await client.post("/mel", content=audio(X, subtype="FLOAT"), headers={"Content-Type": "audio/wav"})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/x-npy"
    mel = np.load(io.BytesIO(response.content), allow_pickle=False)
    np.testing.assert_array_equal(mel, mel_of(X))
    assert mel.dtype == np.float32
    assert response.headers["x-mel-config"] == "nvidia"
    assert response.headers["x-mel-shape"] == ",".join(map(str, mel.shape))
    assert response.headers["x-sample-rate"] == "22050"


async def test_the_mel_can_be_spoken(client: httpx.AsyncClient) -> None:
    mel = (await client.post("/mel", content=audio(X))).content
    spoken = await client.post("/synthesize", content=mel, headers={"Content-Type": "application/x-npy"})
    assert spoken.headers["x-audio-samples"] == str(mel_of(X).shape[1] * 256)


@pytest.mark.parametrize(
    ("container", "media_type"), [("FLAC", "audio/flac"), ("OGG", "audio/ogg"), ("MP3", "audio/mpeg")]
)
async def test_other_containers(client: httpx.AsyncClient, container: str, media_type: str) -> None:
    body = audio(X, container=container)
    response = await client.post("/mel", content=body, headers={"Content-Type": media_type})
    decoded = soundfile.read(io.BytesIO(body), dtype="float32")[0]
    np.testing.assert_allclose(np.load(io.BytesIO(response.content)), mel_of(decoded), atol=2e-3)


async def test_mp3_that_does_not_begin_with_a_frame(client: httpx.AsyncClient) -> None:
    body = bytes(100) + audio(X, container="MP3")
    response = await client.post("/mel", content=body, headers={"Content-Type": "audio/mpeg"})
    assert response.status_code == 200, response.text
    assert np.load(io.BytesIO(response.content)).shape == mel_of(X).shape


async def test_two_channels_are_mixed(client: httpx.AsyncClient) -> None:
    stereo = np.stack([X, 0.5 * X[::-1]], axis=1)
    response = await client.post("/mel", content=audio(stereo, subtype="FLOAT"))
    np.testing.assert_allclose(np.load(io.BytesIO(response.content)), mel_of(stereo.mean(axis=1)), atol=1e-4)


async def test_another_sample_rate_is_resampled(client: httpx.AsyncClient) -> None:
    seconds = np.arange(44100) / 44100
    tone = (0.5 * np.sin(2 * np.pi * 440.0 * seconds)).astype(np.float32)
    response = await client.post("/mel", content=audio(tone, 44100, subtype="FLOAT"))
    mel = np.load(io.BytesIO(response.content))
    expected = mel_of((0.5 * np.sin(2 * np.pi * 440.0 * np.arange(22050) / 22050)).astype(np.float32))
    assert mel.shape == expected.shape
    loudest = int(expected[:, 40].argmax())
    np.testing.assert_allclose(mel[loudest, 5:-5], expected[loudest, 5:-5], atol=1e-3)


async def test_a_preset_instead_of_a_model(client: httpx.AsyncClient) -> None:
    response = await client.post("/mel?preset=espnet", content=audio(X, subtype="FLOAT"))
    np.testing.assert_array_equal(np.load(io.BytesIO(response.content)), mel_of(X, "espnet"))
    assert slug(await client.post("/mel?preset=nothing", content=audio(X))) == (422, "unknown-preset")


async def test_a_model_by_name(start: Any, new_fake: Any) -> None:
    async with start(new_fake("one"), new_fake("two", preset("hifigan"))) as client:
        response = await client.post("/mel?model=two", content=audio(X))
        assert response.headers["x-mel-config"] == "hifigan"
        assert slug(await client.post("/mel?model=three", content=audio(X))) == (404, "unknown-model")
        response = await client.post("/mel?model=three&preset=nvidia", content=audio(X))
        assert slug(response) == (404, "unknown-model")


async def test_audio_that_is_too_long(start: Any) -> None:
    async with start(max_audio_seconds=0.5) as client:
        assert (await client.post("/mel", content=audio(X))).status_code == 200
        longer = np.concatenate([X, X[:1]])
        assert slug(await client.post("/mel", content=audio(longer))) == (413, "audio-too-long")


async def test_a_header_that_hides_its_length(start: Any) -> None:
    flac = bytearray(audio(np.tile(X, 3), container="FLAC"))
    flac[21] &= 0xF0  # the 36 bits of the number of samples: unknown
    flac[22:26] = bytes(4)
    async with start(max_audio_seconds=0.5) as client:
        assert slug(await client.post("/mel", content=bytes(flac))) == (413, "audio-too-long")


async def test_a_wav_that_claims_more_than_it_has(client: httpx.AsyncClient) -> None:
    body = bytearray(audio(X, subtype="PCM_16"))
    body[40:44] = struct.pack("<I", 0x7FFFFFF0)
    response = await client.post("/mel", content=bytes(body))
    assert np.load(io.BytesIO(response.content)).shape == mel_of(X).shape


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"not audio at all" * 10, (400, "malformed-body")),
        (audio(X)[:20], (400, "malformed-body")),
        (audio(X[:0]), (422, "invalid-audio")),
        (audio(X[:100]), (422, "invalid-audio")),
        (audio(X, container="OGG") * 2, (422, "invalid-audio")),
        (audio(np.zeros((3000, 3), np.float32)), (422, "invalid-audio")),
        (audio(np.full(3000, np.nan, np.float32), subtype="FLOAT"), (422, "invalid-audio")),
        (audio(X, 400_000), (422, "invalid-audio")),
        (audio(X, 22049), (422, "invalid-audio")),
    ],
    ids=["text", "cut", "empty", "short", "chain", "channels", "nan", "rate", "ratio"],
)
async def test_audio_that_is_refused(client: httpx.AsyncClient, body: bytes, expected: tuple[int, str]) -> None:
    assert slug(await client.post("/mel", content=body)) == expected


async def test_a_media_type_that_is_not_audio(client: httpx.AsyncClient) -> None:
    response = await client.post("/mel", content=audio(X), headers={"Content-Type": "application/json"})
    assert slug(response) == (415, "unsupported-media-type")
