"""Waveforms to bodies: decoded again, they are what was encoded."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from server.encoding import FORMATS

BY_NAME = {offer.name: offer for offer in FORMATS}
SAMPLE_RATE = 22050
X = np.sin(np.linspace(0.0, 200.0, 4000, dtype=np.float32)) * np.float32(0.9)
HALF_STEP = 0.5 / 32768.0 + 1e-9


def decode(name: str, body: bytes) -> NDArray[np.float64]:
    if name == "npy":
        return np.load(io.BytesIO(body), allow_pickle=False).astype(np.float64)
    if name == "pcm":
        return np.frombuffer(body, "<i2") / 32768.0
    samples, sample_rate = soundfile.read(io.BytesIO(body))
    assert sample_rate == SAMPLE_RATE
    return np.asarray(samples)


@pytest.mark.parametrize("name", BY_NAME)
def test_every_format_can_be_decoded_again(name: str) -> None:
    encoded = BY_NAME[name].encode(X, SAMPLE_RATE)
    tolerance = 0.0 if name in ("npy", "wav_f32") else HALF_STEP
    np.testing.assert_allclose(decode(name, encoded.body), X, rtol=0.0, atol=tolerance)
    assert encoded.clipped == 0


@pytest.mark.parametrize("name", ["wav", "flac", "pcm"])
def test_integers_are_cut_at_full_scale_and_counted_and_never_wrap(name: str) -> None:
    x = np.array([0.0, 1.0, 1.001, 3.0, -1.0, -1.001, -40.0], np.float32)
    encoded = BY_NAME[name].encode(x, SAMPLE_RATE)
    np.testing.assert_allclose(decode(name, encoded.body), np.clip(x, -1.0, 1.0), atol=1.01 / 32768.0)
    assert encoded.clipped == 4


@pytest.mark.parametrize("name", ["npy", "wav_f32"])
def test_floats_keep_what_is_beyond_full_scale(name: str) -> None:
    x = np.array([0.5, 1.5, -2.5], np.float32)
    encoded = BY_NAME[name].encode(x, SAMPLE_RATE)
    np.testing.assert_array_equal(decode(name, encoded.body), x)
    assert encoded.clipped == 0


@pytest.mark.parametrize(("name", "subtype"), [("wav", "PCM_16"), ("wav_f32", "FLOAT"), ("flac", "PCM_16")])
def test_files_hold_one_channel_of_the_right_kind(name: str, subtype: str) -> None:
    info = soundfile.info(io.BytesIO(BY_NAME[name].encode(X, SAMPLE_RATE).body))
    assert (info.channels, info.subtype, info.samplerate, info.frames) == (1, subtype, SAMPLE_RATE, len(X))
