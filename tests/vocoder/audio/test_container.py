"""What libsndfile does not look for: Ogg streams after the first."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from vocoder.audio.file import AudioError, is_chained_ogg, read_audio

X = (0.3 * np.sin(np.linspace(0.0, 3000.0, 24000))).astype(np.float32)


def encoded(container: str, subtype: str | None = None) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, X, 24000, format=container, subtype=subtype)
    return stream.getvalue()


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_a_chain_of_streams_is_refused_rather_than_cut(subtype, tmp_path):
    one = encoded("OGG", subtype)
    assert not is_chained_ogg(io.BytesIO(one))
    assert not is_chained_ogg(io.BytesIO(one[:-100]))
    path = tmp_path / "chain.ogg"
    path.write_bytes(one + encoded("OGG", subtype))
    for source in (path, io.BytesIO(path.read_bytes())):
        with pytest.raises(AudioError, match="chain of several Ogg streams"):
            read_audio(source)


def test_other_files_are_no_chain():
    assert not is_chained_ogg(io.BytesIO(encoded("FLAC")))
    assert not is_chained_ogg(io.BytesIO(b""))
