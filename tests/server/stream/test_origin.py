"""Streams say where their audio comes from."""

from __future__ import annotations

import io
import json
from typing import Any

import httpx
import numpy as np
import pytest
from answers import npy
from speaker import TIMEOUT
from streamers import Streamer, mel_of

from vocoder import __version__
from vocoder.audio.info import audio_info
from vocoder.audio.origin import Origin


@pytest.mark.parametrize("name", ["wav", "wav_f32", "flac", "opus"])
def test_over_http(talk: Any, streamer: Streamer, name: str) -> None:
    query = {"stream": 1, "seed": 4, "format": name}
    with talk(streamer) as dial:
        answer = httpx.post(f"{dial.url}/v1/synthesize", params=query, content=npy(mel_of(100)), timeout=TIMEOUT)
        expected = Origin(answer.headers["X-Model"], __version__, 4, dtype=answer.headers.get("X-Model-Dtype"))
        assert Origin.of_json(answer.headers["X-Audio-Origin"]) == expected
        assert audio_info(io.BytesIO(answer.content)).origin == expected


@pytest.mark.parametrize("told", [True, False])
def test_over_a_websocket(talk: Any, streamer: Streamer, told: bool) -> None:
    with talk(streamer, origin=told) as dial, dial() as speaker:
        speaker.connection.send(json.dumps({"format": "wav", "seed": 4}))
        speaker.connection.send(np.ascontiguousarray(mel_of(100).T, "<f4").tobytes())
        speaker.connection.send(json.dumps({"end": True}))
        messages = list(speaker.connection)
        ready = json.loads(messages[0])
    body = b"".join(message for message in messages if isinstance(message, bytes))
    origin = Origin(ready["model"], __version__, 4, dtype=ready["model_dtype"])
    assert audio_info(io.BytesIO(body)).origin == (origin if told else None)
