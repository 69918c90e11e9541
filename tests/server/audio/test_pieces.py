"""Bytes that leave in pieces decode to the whole waveform."""

from __future__ import annotations

import io
import itertools
import struct

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from server.audio.formats import FORMATS, STREAM_FORMATS
from server.audio.pieces import PieceResampler, open_encoder
from vocoder.audio.resampling import half_width, resample

BY_NAME = {offer.name: offer for offer in FORMATS}
RATE = 24000
X = (np.sin(np.arange(3 * RATE) * 0.05) * 0.5).astype(np.float32)
HALF_STEP = 0.5 / 32768.0 + 1e-9


def encode(name: str, x: NDArray[np.float32], piece: int = 1000, samples: int | None = None) -> tuple[list[bytes], int]:
    encoder = open_encoder(BY_NAME[name], RATE, samples)
    made = [encoder.encode(x[start : start + piece]) for start in range(0, len(x), piece)]
    return [*made, encoder.finish()], encoder.clipped


def heard(body: bytes) -> NDArray[np.float64]:
    """Decode with FFmpeg, as players do."""
    with av.open(io.BytesIO(body)) as file:
        stream = file.streams.audio[0]
        assert stream.rate in (RATE, 48000)
        frames = [frame.to_ndarray().reshape(-1) for frame in file.decode(stream)]
    samples = np.concatenate(frames)
    return samples / 32768.0 if samples.dtype.kind == "i" else samples.astype(np.float64)


def test_what_begins_with_its_length_cannot_be_sent_in_pieces() -> None:
    assert [offer.name for offer in FORMATS if offer not in STREAM_FORMATS] == ["mp3", "npy"]


@pytest.mark.parametrize("name", ["wav", "wav_f32", "flac"])
def test_files_in_pieces_hold_the_waveform(name: str) -> None:
    pieces, clipped = encode(name, X)
    assert clipped == 0
    np.testing.assert_allclose(heard(b"".join(pieces)), X, rtol=0.0, atol=0.0 if name == "wav_f32" else HALF_STEP)


def test_opus_in_pieces_is_opus_at_once() -> None:
    pieces, _ = encode("opus", X)
    whole = BY_NAME["opus"].encode(X, RATE).body
    x, rate = soundfile.read(io.BytesIO(b"".join(pieces)))
    expected, _ = soundfile.read(io.BytesIO(whole))
    assert rate == RATE
    np.testing.assert_allclose(x, expected, rtol=0.0, atol=1e-6)


@pytest.mark.parametrize(("name", "dtype"), [("pcm", "<i2"), ("pcm_f32", "<f4")])
def test_raw_samples(name: str, dtype: str) -> None:
    pieces, _ = encode(name, X)
    assert pieces[-1] == b""
    assert b"".join(pieces) == BY_NAME[name].encode(X, RATE).body
    assert len(pieces[0]) == 1000 * np.dtype(dtype).itemsize


@pytest.mark.parametrize(("name", "tag", "bits"), [("wav", 1, 16), ("wav_f32", 3, 32)])
def test_wave_heads_have_open_sizes(name: str, tag: int, bits: int) -> None:
    head = b"".join(encode(name, X)[0])[:44]
    assert head[:4] + head[8:16] == b"RIFFWAVEfmt "
    assert struct.unpack("<IHHIIHH", head[16:36]) == (16, tag, 1, RATE, RATE * bits // 8, bits // 8, bits)
    assert head[4:8] == head[40:44] == b"\xff\xff\xff\xff"
    assert head[36:40] == b"data"


def test_flac_says_its_length_where_that_is_known() -> None:
    known = b"".join(encode("flac", X, samples=len(X))[0])
    assert soundfile.info(io.BytesIO(known)).frames == len(X)
    x, _ = soundfile.read(io.BytesIO(known))
    np.testing.assert_allclose(x, X, rtol=0.0, atol=HALF_STEP)
    unknown = b"".join(encode("flac", X)[0])
    assert int.from_bytes(unknown[18:26], "big") % 2**36 == 0
    assert known[26:] == unknown[26:]


@pytest.mark.parametrize("name", ["flac", "opus"])
def test_blocks_leave_before_the_end(name: str) -> None:
    pieces, _ = encode(name, X)
    assert 0 < sum(map(len, pieces[: len(pieces) // 2])) < sum(map(len, pieces))


@pytest.mark.parametrize("name", ["wav", "flac", "opus", "pcm"])
def test_cut_samples_are_counted(name: str) -> None:
    x = X.copy()
    x[[10, 2000, 2001]] = (1.5, -2.0, 1.001)
    assert encode(name, x)[1] == 3


@pytest.mark.parametrize("name", ["wav", "wav_f32"])
def test_a_stream_without_samples_is_a_file_without_samples(name: str) -> None:
    encoder = open_encoder(BY_NAME[name], RATE)
    assert len(encoder.finish()) == 44


NOISE = np.random.default_rng(1).uniform(-1, 1, 6000).astype(np.float32)
PAIRS = [(22050, 48000), (22050, 16000), (24000, 48000), (22050, 24000), (48000, 8000), (22050, 22050)]


@pytest.mark.parametrize(("source", "target"), PAIRS)
@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, len(NOISE)), max_size=8), trailing=st.booleans())
def test_no_seam(source: int, target: int, cuts: list[int], trailing: bool) -> None:
    resampler = PieceResampler(source, target)
    edges = [0, *sorted(cuts), len(NOISE)]
    pieces = [NOISE[start:end] for start, end in itertools.pairwise(edges)]
    made = [resampler.push(piece, last=not trailing and piece is pieces[-1]) for piece in pieces]
    made += [resampler.push(NOISE[:0], last=True)] if trailing else []
    np.testing.assert_allclose(np.concatenate(made), resample(NOISE, source, target), rtol=0.0, atol=1e-6)


def test_output_comes_as_soon_as_it_is_certain() -> None:
    resampler, width = PieceResampler(24000, 48000), half_width(24000, 48000)
    assert 60 < width < 80
    assert len(resampler.push(NOISE[: width - 1])) == 0
    assert 2 * 1000 >= len(resampler.push(NOISE[width - 1 : width + 1000])) >= 2 * 990


def test_memory_does_not_grow() -> None:
    resampler = PieceResampler(22050, 48000)
    for _ in range(50):
        resampler.push(NOISE)
    assert len(resampler._kept) < 3000
