"""Decoding: G.722 and others back to the sine that went in, and errors for what is no audio."""

import av
import numpy as np
import pytest
import soundfile

from training.corpora.condition import DecodeError, decode

RATE = 16000


def sine(frequency=440.0, seconds=1.0, rate=RATE):
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)


def encode(path, codec, x, container=None):
    with av.open(str(path), "w", format=container) as output:
        stream = output.add_stream(codec, rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray((x * 32767).astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate = RATE
        for packet in (*stream.encode(frame), *stream.encode(None)):
            output.mux(packet)


def test_g722_comes_back_as_the_sine_that_went_in(tmp_path):
    path = tmp_path / "a.g722"
    encode(path, "g722", sine(), "g722")
    assert path.stat().st_size == RATE // 2
    x, sample_rate = decode(path)
    assert (sample_rate, x.dtype, x.shape) == (RATE, np.float32, (RATE,))
    # The codec's filters delay by some samples: compare magnitude, and what is left beside the tone.
    tone = np.exp(-2j * np.pi * 440 * np.arange(RATE) / RATE)
    amplitude = 2 * np.abs(np.mean(x * tone))
    assert amplitude == pytest.approx(0.5, rel=0.02)
    assert np.mean(x**2) - amplitude**2 / 2 < 1e-3 * amplitude**2


def test_gsm_of_telephones_comes_back(tmp_path):
    """A whole file of GSM 06.10 frames, each 33 bytes for 20 ms: silence, since no encoder comes with PyAV."""
    path = tmp_path / "a.gsm"
    path.write_bytes((b"\xd8\x20\xa2\xe1\x5a" + b"\x50\x00\x49\x24\x92\x49\x24" * 4) * 50)
    x, sample_rate = decode(path)
    assert (sample_rate, len(x)) == (8000, 8000)
    assert np.abs(x).max() < 0.01


def test_channels_are_averaged(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([sine(), 0.5 * sine()], axis=1), RATE, subtype="FLOAT")
    np.testing.assert_allclose(decode(path)[0], 0.75 * sine(), atol=1e-6)


@pytest.mark.parametrize("name", ["a.wav", "a.m4a", "a.mp3", "a.g722"])
def test_what_is_missing_empty_or_no_audio_is_refused_by_name(tmp_path, name):
    file, letter = tmp_path / name, b"this is a letter, not a recording" * 10
    for content in (None, b"", letter if name != "a.g722" else b""):
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(DecodeError, match=name):
            decode(file)
    soundfile.write(tmp_path / "b.wav", np.array([0.0, np.nan, 0.1]), RATE, subtype="FLOAT")
    with pytest.raises(DecodeError, match="not finite"):
        decode(tmp_path / "b.wav")
