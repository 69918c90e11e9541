import io
import itertools
import struct
import sys

import numpy as np
import pytest
import soundfile
from http_helpers import decode_with_ffmpeg
from hypothesis import given, settings
from hypothesis import strategies as st

from server.audio.formats import FORMATS, SAMPLE_RATES, Level, negotiate
from server.audio.pieces import PieceEncoder, PieceResampler
from server.problems import Problem
from vocoder.audio.reading import AudioError, read_audio
from vocoder.audio.resampling import half_width, resample

BY_NAME = {offer.name: offer for offer in FORMATS}
EXACT = [name for name in BY_NAME if name not in ("opus", "mp3")]
FLOATS = ("npy", "wav_f32", "pcm_f32")
SAMPLE_RATE = 22050
X = np.sin(np.linspace(0.0, 200.0, 4000, dtype=np.float32)) * np.float32(0.9)
HALF_STEP = 0.5 / 32768.0 + 1e-9


def decode(name, body):
    if name == "npy":
        return np.load(io.BytesIO(body), allow_pickle=False).astype(np.float64)
    if name == "pcm":
        return np.frombuffer(body, "<i2") / 32768.0
    if name == "pcm_f32":
        return np.frombuffer(body, "<f4").astype(np.float64)
    samples, sample_rate = soundfile.read(io.BytesIO(body))
    assert sample_rate == SAMPLE_RATE
    return np.asarray(samples)


@pytest.mark.parametrize("name", EXACT)
def test_every_format_can_be_decoded(name):
    x = np.concatenate([X, [1.0, 1.001, 3.0, -1.0, -1.001, -40.0]]).astype(np.float32)
    encoded = BY_NAME[name].encode(x, SAMPLE_RATE)
    if name in FLOATS:  # floats keep values beyond full scale
        np.testing.assert_array_equal(decode(name, encoded.body), x)
        assert encoded.clipped == 0
    else:  # integers are clipped there and counted
        found = decode(name, encoded.body)
        np.testing.assert_allclose(found[: len(X)], X, rtol=0.0, atol=HALF_STEP)
        np.testing.assert_allclose(found, np.clip(x, -1.0, 1.0), rtol=0.0, atol=1.01 / 32768.0)
        assert encoded.clipped == 4
    if subtype := {"wav": "PCM_16", "wav_f32": "FLOAT", "flac": "PCM_16"}.get(name):
        info = soundfile.info(io.BytesIO(encoded.body))
        assert (info.channels, info.subtype, info.samplerate, info.frames) == (1, subtype, SAMPLE_RATE, len(x))


def test_the_rate_is_the_requested_one_or_one_that_the_format_supports():
    wav, opus, mp3 = BY_NAME["wav"], BY_NAME["opus"], BY_NAME["mp3"]
    assert [offer.rate(22050, None) for offer in (wav, opus, mp3)] == [22050, 24000, 22050]
    assert [offer.rate(96000, None) for offer in (wav, opus, mp3)] == [96000, 48000, 48000]
    assert opus.rate(24000, None) == 24000
    assert [wav.rate(22050, rate) for rate in SAMPLE_RATES] == list(SAMPLE_RATES)
    assert wav.rate(17000, 17000) == 17000
    for target, rate in ((wav, 22049), (wav, 17000), (opus, 22050), (mp3, 96000)):
        with pytest.raises(Problem) as caught:
            target.rate(22050, rate)
        assert caught.value.kind == "unsupported-sample-rate"
        assert rate not in caught.value.fields["sample_rates"]


ACCEPTED = {
    **dict.fromkeys((None, "*/*", ","), ("wav", "audio/wav")),
    "audio/*": ("wav", "audio/wav"),
    "AUDIO/FLAC": ("flac", "audio/flac"),
    "audio/x-wav": ("wav", "audio/x-wav"),
    "application/*": ("npy", "application/x-npy"),
    "nonsense, application/octet-stream, */*;q=0.1": ("pcm", "application/octet-stream"),
    "*/*, audio/wav;q=0.1, audio/*;q=0": ("npy", "application/x-npy"),
    "audio/ogg;codecs=opus": ("opus", "audio/ogg"),
    ",text/html,, audio/flac;q=0.5, */*;q=0.1": ("flac", "audio/flac"),
    "audio/wav;q=0, audio/flac; Q=0.000, */*;q=0.5": ("wav", "audio/x-wav"),
    "audio/flac;q=0.1, audio/mpeg;level=1;q=0.9": ("mp3", "audio/mpeg"),
}


def test_the_accept_header_selects_a_format_or_is_rejected():
    for accept, expected in ACCEPTED.items():
        target, media_type = negotiate(None, accept)
        assert (target.name, media_type) == expected, accept
    assert [negotiate(name, "text/html")[0].name for name in BY_NAME] == list(BY_NAME)  # format= takes precedence
    rejected = [("aac", "*/*"), ("", "*/*"), ("WAV", "*/*")]
    rejected += [(None, accept) for accept in ("a/b,,c/d", "image/*", "text/html, ;", "audio/aac", "*/*;q=0")]
    for name, accept in rejected:
        with pytest.raises(Problem, match="audio/wav") as caught:
            negotiate(name, accept)
        assert (caught.value.kind, caught.value.fields["formats"]) == ("not-acceptable", list(BY_NAME))


def tone(sample_rate, amplitude, seconds=2.0):
    return (amplitude * np.sin(2.0 * np.pi * 997.0 * np.arange(int(seconds * sample_rate)) / sample_rate)).astype("f4")


@pytest.mark.parametrize("sample_rate", [22050, 24000, 44100, 48000])
@pytest.mark.parametrize("amplitude", [0.01, 0.5, 1.5])
def test_the_loudness_of_a_tone_matches_the_standard(sample_rate, amplitude):
    measured = -3.01 + 20.0 * np.log10(amplitude)  # 997 Hz in one channel at full scale is -3.01 LUFS
    level = Level(loudness=-23.0).of(tone(sample_rate, amplitude), sample_rate)
    assert level.gain == pytest.approx(-23.0 - measured, abs=0.15)


@pytest.mark.parametrize(("x", "error"), [(tone(22050, 0.5, 0.39), "shorter than 0.4 s"), (tone(22050, 1e-5), "quiet")])
def test_audio_without_a_measurable_loudness_is_rejected(x, error):
    with pytest.raises(Problem, match=error):
        Level(loudness=-23.0).of(x, 22050)


def test_a_gain_alone_does_not_load_the_code_that_measures_loudness(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchaudio", None)  # importing it fails
    assert Level(gain=6.0).of(tone(22050, 0.5), 22050) == Level(gain=6.0)


RATE = 24000
LONG = (np.sin(np.arange(3 * RATE) * 0.05) * 0.5).astype(np.float32)


def encode(name, x, piece=1000, samples=None):
    encoder = PieceEncoder(BY_NAME[name], RATE, samples=samples)
    made = [encoder.encode(x[start : start + piece]) for start in range(0, len(x), piece)]
    return [*made, encoder.finish()], encoder.clipped


@pytest.mark.parametrize("name", ["wav", "wav_f32", "flac"])
def test_files_encoded_in_pieces_contain_the_waveform(name):
    pieces, clipped = encode(name, LONG)
    x, rate = decode_with_ffmpeg(b"".join(pieces))
    assert (rate, clipped) == (RATE, 0)
    np.testing.assert_allclose(x, LONG, rtol=0.0, atol=0.0 if name == "wav_f32" else HALF_STEP)
    with_length = b"".join(encode(name, LONG, samples=len(LONG))[0])  # libsndfile needs the length of FLAC
    np.testing.assert_allclose(soundfile.read(io.BytesIO(with_length))[0], x, rtol=0.0, atol=HALF_STEP)
    assert name == "flac" or struct.unpack("<I", with_length[4:8])[0] == len(with_length) - 8
    if name == "flac":
        with pytest.raises(AudioError, match="without its length"):
            read_audio(io.BytesIO(b"".join(pieces)))


def test_opus_encoded_in_pieces_equals_opus_encoded_at_once():
    bodies = b"".join(encode("opus", LONG)[0]), BY_NAME["opus"].encode(LONG, RATE).body
    (x, rate), (expected, _) = (soundfile.read(io.BytesIO(body)) for body in bodies)
    assert rate == RATE
    np.testing.assert_allclose(x, expected, rtol=0.0, atol=1e-6)


@pytest.mark.parametrize(("name", "tag", "bits"), [("wav", 1, 16), ("wav_f32", 3, 32)])
def test_raw_samples_and_wave_headers_with_unknown_sizes(name, tag, bits):
    pieces, _ = encode(name.replace("wav", "pcm"), LONG)
    assert (len(pieces[0]), pieces[-1]) == (1000 * bits // 8, b"")
    raw, file = b"".join(pieces), b"".join(encode(name, LONG)[0])
    assert raw == file[44:] == BY_NAME[name.replace("wav", "pcm")].encode(LONG, RATE).body
    assert (file[:4] + file[8:16], file[36:40]) == (b"RIFFWAVEfmt ", b"data")
    assert struct.unpack("<IHHIIHH", file[16:36]) == (16, tag, 1, RATE, RATE * bits // 8, bits // 8, bits)
    assert file[4:8] == file[40:44] == b"\xff\xff\xff\xff"
    assert len(PieceEncoder(BY_NAME[name], RATE).finish()) == 44  # a file without samples


@pytest.mark.parametrize("name", ["flac", "opus"])
def test_encoded_blocks_are_returned_before_the_end(name):
    pieces, _ = encode(name, LONG)
    assert 0 < sum(map(len, pieces[: len(pieces) // 2])) < sum(map(len, pieces))


@pytest.mark.parametrize("name", ["wav", "flac", "opus", "pcm"])
def test_clipped_samples_are_counted(name):
    x = LONG.copy()
    x[[10, 2000, 2001]] = (1.5, -2.0, 1.001)
    assert encode(name, x)[1] == 3


NOISE = np.random.default_rng(1).uniform(-1, 1, 6000).astype(np.float32)
PAIRS = [(22050, 48000), (22050, 16000), (24000, 48000), (22050, 24000), (48000, 8000), (22050, 22050)]


@pytest.mark.parametrize(("source", "target"), PAIRS)
@settings(max_examples=6)
@given(cuts=st.lists(st.integers(0, len(NOISE)), max_size=8), trailing=st.booleans())
def test_resampling_in_pieces_equals_resampling_the_whole(source, target, cuts, trailing):
    resampler = PieceResampler(source, target)
    edges = [0, *sorted(cuts), len(NOISE)]
    pieces = [NOISE[start:end] for start, end in itertools.pairwise(edges)]
    made = [resampler.push(piece, last=not trailing and piece is pieces[-1]) for piece in pieces]
    made += [resampler.push(NOISE[:0], last=True)] if trailing else []
    np.testing.assert_allclose(np.concatenate(made), resample(NOISE, source, target), rtol=0.0, atol=1e-6)


def test_resampled_output_comes_as_early_as_possible_and_memory_does_not_grow():
    resampler, width = PieceResampler(24000, 48000), half_width(24000, 48000)
    assert 60 < width < 80
    assert len(resampler.push(NOISE[: width - 1])) == 0
    assert 2 * 1000 >= len(resampler.push(NOISE[width - 1 : width + 1000])) >= 2 * 990
    resampler = PieceResampler(22050, 48000)
    for _ in range(50):
        resampler.push(NOISE)
    assert len(resampler._kept) < 3000
