"""Streams say where their audio comes from, unless a setting turns that off."""

import io

import httpx
from answers import npy
from speaker import TIMEOUT, speak
from streamers import mel_of

from vocoder import __version__
from vocoder.audio.info import audio_info
from vocoder.audio.origin import Origin


def test_over_http_and_a_websocket(talk, streamer):
    expected = Origin("streamer", __version__, 4)
    with talk(streamer) as dial:
        for name in ("wav", "wav_f32", "flac", "opus"):
            query = {"stream": 1, "seed": 4, "format": name}
            answer = httpx.post(f"{dial.url}/v1/synthesize", params=query, content=npy(mel_of(100)), timeout=TIMEOUT)
            assert Origin.of_json(answer.headers["X-Audio-Origin"]) == expected
            assert audio_info(io.BytesIO(answer.content)).origin == expected
        with dial() as speaker:
            assert audio_info(io.BytesIO(speak(speaker, mel_of(100), format="wav", seed=4)[0])).origin == expected
    with talk(streamer, origin=False) as dial, dial() as speaker:
        assert audio_info(io.BytesIO(speak(speaker, mel_of(100), format="wav", seed=4)[0])).origin is None
