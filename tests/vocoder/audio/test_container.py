"""What libsndfile does not look for: Ogg streams after the first, MPEG audio behind other bytes."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import soundfile

from vocoder.audio.container import is_chained_ogg, mpeg_start
from vocoder.audio.file import AudioError, read_audio

X = (0.3 * np.sin(np.linspace(0.0, 3000.0, 24000))).astype(np.float32)


def encoded(container: str, subtype: str | None = None) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, X, 24000, format=container, subtype=subtype)
    return stream.getvalue()


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_a_chain_of_streams_is_refused_rather_than_cut(subtype: str, tmp_path: Any) -> None:
    one = encoded("OGG", subtype)
    assert not is_chained_ogg(io.BytesIO(one))
    assert not is_chained_ogg(io.BytesIO(one[:-100]))
    path = tmp_path / "chain.ogg"
    path.write_bytes(one + encoded("OGG", subtype))
    for source in (path, io.BytesIO(path.read_bytes())):
        with pytest.raises(AudioError, match="chain of several Ogg streams"):
            read_audio(source)


def test_other_files_are_no_chain() -> None:
    assert not is_chained_ogg(io.BytesIO(encoded("FLAC")))
    assert not is_chained_ogg(io.BytesIO(b""))


@pytest.mark.parametrize(
    "before",
    [bytes(500), b"\r\n", b"ID3\x04\0\0\0\0\0\0", b"\xff\xf3\x40", encoded("MP3")[250:417]],
    ids=["zeros", "a line", "a tag of nothing", "half a head", "the rest of a frame"],
)
def test_mpeg_audio_behind_other_bytes(before: bytes, tmp_path: Any) -> None:
    mp3 = encoded("MP3")
    expected, _ = read_audio(io.BytesIO(mp3))
    path = tmp_path / "a.mp3"
    path.write_bytes(before + mp3)
    for source in (path, io.BytesIO(before + mp3)):
        x, rate = read_audio(source)
        assert rate == 24000
        assert abs(len(x) - len(expected)) <= 2 * 1152
    assert mpeg_start(before + mp3) == len(before)


def test_what_is_no_mpeg_audio() -> None:
    noise = np.random.default_rng(0).integers(0, 256, 100_000).astype(np.uint8).tobytes()
    for data in (noise, b"\xff" * 70_000, b"text" * 1000, b"", encoded("MP3")[:300]):
        assert mpeg_start(data) is None
    with pytest.raises(AudioError, match="cannot read"):
        read_audio(io.BytesIO(b"\xff\xfb" + noise))
