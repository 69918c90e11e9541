"""Answers say where their audio comes from."""

from __future__ import annotations

import io
from typing import Any

import httpx
import pytest
from answers import npy

from vocoder import __version__
from vocoder.audio.info import audio_info
from vocoder.audio.origin import Origin

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("name", ["wav", "wav_f32", "flac", "opus", "npy"])
async def test_answers_tell_model_version_and_seed(client: httpx.AsyncClient, new_mel: Any, name: str) -> None:
    response = await client.post(f"/synthesize?seed=3&format={name}", content=npy(new_mel()))
    expected = Origin(response.headers["X-Model"], __version__, 3, dtype=response.headers["X-Model-Dtype"])
    assert Origin.of_json(response.headers["X-Audio-Origin"]) == expected
    if name != "npy":
        assert audio_info(io.BytesIO(response.content)).origin == expected


async def test_a_setting_leaves_it_out(start: Any, new_mel: Any) -> None:
    async with start(origin=False) as client:
        response = await client.post("/synthesize", content=npy(new_mel()))
    assert response.status_code == 200
    assert "X-Audio-Origin" not in response.headers
    assert audio_info(io.BytesIO(response.content)).origin is None
