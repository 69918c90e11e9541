"""Accept and `format=`, as RFC 9110 has it."""

from __future__ import annotations

import pytest

from server.audio.negotiation import negotiate
from server.errors import RequestError


@pytest.mark.parametrize(
    ("accept", "name", "media_type"),
    [
        (None, "wav", "audio/wav"),
        ("", "wav", "audio/wav"),
        ("*/*", "wav", "audio/wav"),
        ("audio/*", "wav", "audio/wav"),
        ("AUDIO/FLAC", "flac", "audio/flac"),
        ("audio/x-wav", "wav", "audio/x-wav"),
        ("application/x-npy", "npy", "application/x-npy"),
        ("application/octet-stream", "pcm", "application/octet-stream"),
        ("audio/pcm", "pcm", "audio/pcm"),
        ("audio/ogg;codecs=opus", "opus", "audio/ogg"),
        ("text/html, audio/flac;q=0.5, */*;q=0.1", "flac", "audio/flac"),
        ("audio/wav;q=0.2, audio/flac; q=0.8", "flac", "audio/flac"),
        ("audio/*;q=0.5, application/x-npy", "npy", "application/x-npy"),
        ("audio/wav;q=0, audio/*", "wav", "audio/x-wav"),
        ("*/*;q=0.3, audio/flac;q=0.2", "wav", "audio/wav"),
        ("audio/flac;q=nonsense, application/x-npy", "npy", "application/x-npy"),
        ("audio/flac;q=nan, application/x-npy;q=0.1", "npy", "application/x-npy"),
    ],
)
def test_accept(accept: str | None, name: str, media_type: str) -> None:
    target, answer_type = negotiate(None, accept)
    assert (target.name, answer_type) == (name, media_type)


@pytest.mark.parametrize("accept", ["text/html", "image/*", "audio/mpeg", "*/*;q=0", "nonsense", "audio/wav;q=0"])
def test_nothing_acceptable(accept: str) -> None:
    with pytest.raises(RequestError) as caught:
        negotiate(None, accept)
    assert caught.value.kind == "not-acceptable"
    assert "audio/wav" in caught.value.detail


@pytest.mark.parametrize("name", ["wav", "wav_f32", "flac", "opus", "pcm", "pcm_f32", "npy"])
def test_format_goes_before_accept(name: str) -> None:
    assert negotiate(name, "text/html")[0].name == name


@pytest.mark.parametrize("name", ["mp3", "", "WAV"])
def test_unknown_format(name: str) -> None:
    with pytest.raises(RequestError) as caught:
        negotiate(name, "*/*")
    assert caught.value.kind == "not-acceptable"
    assert caught.value.fields["formats"] == ["wav", "flac", "opus", "npy", "pcm", "pcm_f32", "wav_f32"]
