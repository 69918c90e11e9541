import io
import itertools
import struct

import numpy as np
import pytest
import soundfile
from hearing import heard
from hypothesis import given, settings
from hypothesis import strategies as st

from server.audio.formats import FORMATS, STREAM_FORMATS
from server.audio.pieces import PieceResampler, open_encoder
from vocoder.audio.resampling import half_width, resample

BY_NAME = {offer.name: offer for offer in FORMATS}
RATE = 24000
X = (np.sin(np.arange(3 * RATE) * 0.05) * 0.5).astype(np.float32)
HALF_STEP = 0.5 / 32768.0 + 1e-9


def encode(name, x, piece=1000):
    encoder = open_encoder(BY_NAME[name], RATE)
    made = [encoder.encode(x[start : start + piece]) for start in range(0, len(x), piece)]
    return [*made, encoder.finish()], encoder.clipped


def test_what_begins_with_its_length_cannot_be_sent_in_pieces():
    assert [offer.name for offer in FORMATS if offer not in STREAM_FORMATS] == ["mp3", "npy"]


@pytest.mark.parametrize("name", ["wav", "wav_f32", "flac"])
def test_files_in_pieces_hold_the_waveform(name):
    pieces, clipped = encode(name, X)
    x, rate = heard(b"".join(pieces))
    assert (rate, clipped) == (RATE, 0)
    np.testing.assert_allclose(x, X, rtol=0.0, atol=0.0 if name == "wav_f32" else HALF_STEP)


def test_opus_in_pieces_is_opus_at_once():
    bodies = b"".join(encode("opus", X)[0]), BY_NAME["opus"].encode(X, RATE).body
    (x, rate), (expected, _) = (soundfile.read(io.BytesIO(body)) for body in bodies)
    assert rate == RATE
    np.testing.assert_allclose(x, expected, rtol=0.0, atol=1e-6)


@pytest.mark.parametrize(("name", "tag", "bits"), [("wav", 1, 16), ("wav_f32", 3, 32)])
def test_raw_samples_and_wave_heads_with_open_sizes(name, tag, bits):
    pieces, _ = encode(name.replace("wav", "pcm"), X)
    assert (len(pieces[0]), pieces[-1]) == (1000 * bits // 8, b"")
    raw, file = b"".join(pieces), b"".join(encode(name, X)[0])
    assert raw == file[44:] == BY_NAME[name.replace("wav", "pcm")].encode(X, RATE).body
    assert (file[:4] + file[8:16], file[36:40]) == (b"RIFFWAVEfmt ", b"data")
    assert struct.unpack("<IHHIIHH", file[16:36]) == (16, tag, 1, RATE, RATE * bits // 8, bits // 8, bits)
    assert file[4:8] == file[40:44] == b"\xff\xff\xff\xff"
    assert len(open_encoder(BY_NAME[name], RATE).finish()) == 44  # a file without samples


@pytest.mark.parametrize("name", ["flac", "opus"])
def test_blocks_leave_before_the_end(name):
    pieces, _ = encode(name, X)
    assert 0 < sum(map(len, pieces[: len(pieces) // 2])) < sum(map(len, pieces))


@pytest.mark.parametrize("name", ["wav", "flac", "opus", "pcm"])
def test_cut_samples_are_counted(name):
    x = X.copy()
    x[[10, 2000, 2001]] = (1.5, -2.0, 1.001)
    assert encode(name, x)[1] == 3


NOISE = np.random.default_rng(1).uniform(-1, 1, 6000).astype(np.float32)
PAIRS = [(22050, 48000), (22050, 16000), (24000, 48000), (22050, 24000), (48000, 8000), (22050, 22050)]


@pytest.mark.parametrize(("source", "target"), PAIRS)
@settings(max_examples=6, deadline=None)
@given(cuts=st.lists(st.integers(0, len(NOISE)), max_size=8), trailing=st.booleans())
def test_no_seam(source, target, cuts, trailing):
    resampler = PieceResampler(source, target)
    edges = [0, *sorted(cuts), len(NOISE)]
    pieces = [NOISE[start:end] for start, end in itertools.pairwise(edges)]
    made = [resampler.push(piece, last=not trailing and piece is pieces[-1]) for piece in pieces]
    made += [resampler.push(NOISE[:0], last=True)] if trailing else []
    np.testing.assert_allclose(np.concatenate(made), resample(NOISE, source, target), rtol=0.0, atol=1e-6)


def test_output_comes_as_soon_as_it_is_certain():
    resampler, width = PieceResampler(24000, 48000), half_width(24000, 48000)
    assert 60 < width < 80
    assert len(resampler.push(NOISE[: width - 1])) == 0
    assert 2 * 1000 >= len(resampler.push(NOISE[width - 1 : width + 1000])) >= 2 * 990


def test_memory_does_not_grow():
    resampler = PieceResampler(22050, 48000)
    for _ in range(50):
        resampler.push(NOISE)
    assert len(resampler._kept) < 3000
