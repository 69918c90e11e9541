import io

import numpy as np
import pytest
import soundfile
import torch
from http_helpers import encoded
from hypothesis import given
from hypothesis import strategies as st

from vocoder.audio.reading import AudioError, ChannelsCancelError, gives_mp3_length, ogg_fault, read_audio
from vocoder.audio.writing import AUDIO_FORMATS, Origin, audio_info, quantise, write_audio

RATE = 22050
# Lossless formats: the largest error of a sample. Lossy formats: the relative error of the signal.
LOSSLESS = {"wav": 2.0**-16, "wav_24": 2.0**-24, "wav_f32": 0.0, "flac": 2.0**-16, "flac_24": 2.0**-24}
LOSSY = {"ogg": 0.03, "opus": 0.05, "mp3": 0.06}


def chord(seconds=1.0, sample_rate=RATE):
    """Return three tones that fade in and out."""
    time = np.arange(int(seconds * sample_rate)) / sample_rate
    tones = sum(np.sin(2 * np.pi * frequency * time) for frequency in (220.0, 550.0, 1330.0))
    return (0.2 * tones * np.sin(np.pi * time / seconds)).astype(np.float32)


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_formats_preserve_every_sample(name):
    file, x = io.BytesIO(), chord()
    report = write_audio(file, x, RATE, format=name)
    y, sample_rate = read_audio(io.BytesIO(file.getvalue()))
    assert (y.dtype, y.shape, sample_rate, report.sample_rate) == (np.float32, x.shape, RATE, RATE)
    assert np.abs(y - x).max() <= LOSSLESS[name]
    loud, clipped = write_audio(io.BytesIO(), x + np.float32(40.0), RATE, format=name), 0 if "f32" in name else len(x)
    assert (loud.clipped, loud.peak) == (clipped, x.max() + np.float32(40.0))


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_formats_stay_close_and_aligned(name):
    file, x = io.BytesIO(), chord(3.0)
    write_audio(file, torch.from_numpy(x), RATE, format=name)
    y, sample_rate = read_audio(io.BytesIO(file.getvalue()), RATE)
    assert (sample_rate, y.shape) == (RATE, x.shape)
    assert np.linalg.norm(y - x) / np.linalg.norm(x) < LOSSY[name]


def test_an_unsupported_sample_rate_becomes_the_next_supported_one():
    for name, requested, written in (("opus", 22050, 24000), ("opus", 96000, 48000), ("mp3", 20000, 22050)):
        file = io.BytesIO()
        assert write_audio(file, chord(0.5, requested), requested, format=name).sample_rate == written
        y, sample_rate = read_audio(io.BytesIO(file.getvalue()))
        assert (sample_rate, len(y)) == (written, written // 2)


@pytest.mark.parametrize("name", ["wav", "wav_24", "flac", "flac_24"])
def test_samples_beyond_full_scale_are_clipped_and_counted(name):
    x, file = np.array([0.0, 1.0, -1.0, 1.0001, -1.5, 3.0, -40000.0, 0.5], dtype=np.float32), io.BytesIO()
    report = write_audio(file, x, RATE, format=name)
    y, _ = read_audio(io.BytesIO(file.getvalue()))
    np.testing.assert_allclose(y, np.clip(x, -1, 1), rtol=0, atol=2.0**-15)
    assert (report.clipped, report.peak) == (4, 40000.0)
    assert str(report) == "clipped 4 samples to full scale (peak 40000.000)"


@pytest.mark.parametrize("bits", [16, 24])
def test_quantisation_rounds_to_nearest_and_never_wraps(bits):
    step = 2.0 ** (1 - bits)
    x = np.array([0.0, 0.4 * step, 0.6 * step, -0.6 * step, 1.0, 1.0 + step, 7.0, -1.0, -7.0])
    integers = quantise(x.astype(np.float64), bits) >> (0 if bits == 16 else 8)
    top = 2 ** (bits - 1)
    assert integers.tolist() == [0, 0, 1, -1, top - 1, top - 1, top - 1, -top, -top]


def test_reading_resamples_and_rejects_files_that_are_too_long(tmp_path):
    write_audio(tmp_path / "chord.wav", chord(1.0, 44100), 44100, format="wav_f32")
    x, sample_rate = read_audio(tmp_path / "chord.wav", RATE)
    assert sample_rate == RATE
    np.testing.assert_allclose(x, chord(), rtol=0, atol=1e-3)
    write_audio(tmp_path / "chord.flac", chord(), RATE)
    assert len(read_audio(tmp_path / "chord.flac", max_seconds=1.0)[0]) == RATE
    with pytest.raises(AudioError, match=r"chord\.flac is longer than 0\.99 s"):
        read_audio(tmp_path / "chord.flac", max_seconds=0.99)


def test_read_and_write_errors_explain_the_cause(tmp_path, capfd):
    whole = encoded(X, 24000, "WAV")
    head, sizes = whole[: whole.index(b"data") + 4], f"it has 200 of its {2 * len(X)} bytes"
    with pytest.raises(AudioError, match=f"the audio is truncated: {sizes} of samples"):
        read_audio(io.BytesIO(whole[: len(head) + 204]))
    for container in ("MP3", "AIFF", "AU", "RF64", "W64"):
        cut = encoded(X, 24000, container)
        with pytest.raises(AudioError, match="the audio is truncated"):
            read_audio(io.BytesIO(cut[: len(cut) // 2]))
        assert len(read_audio(io.BytesIO(cut))[0]) == len(X)
    claiming = bytearray(encoded(X, 24000, "FLAC"))
    claiming[22:26] = b"\xff" * 4  # the lower bits of its number of samples
    with pytest.raises(AudioError, match="the audio: it is truncated or damaged"):
        read_audio(io.BytesIO(claiming))
    with pytest.raises(AudioError):
        read_audio(io.BytesIO(encoded(X, 24000, "AIFF").replace(b"SSND", b"SSNX")))
    assert "Traceback" not in capfd.readouterr().err  # libsndfile seeks before the start of such a file
    assert gives_mp3_length(io.BytesIO(b"ID3\3\0\0\0\5\0\0" + bytes(5 * 128**2) + encoded(X, 24000, "MP3")))
    assert len(read_audio(io.BytesIO(encoded(X, 24000, "WAV", "GSM610")))[0]) >= len(X)  # soundfile cannot seek in it
    guessed = encoded(np.append(0 * X, X), 24000, "MP3")
    guessed = guessed[guessed.index(guessed[:2], 4) :]  # by its first frame, which is small, it would be longer
    assert len(read_audio(io.BytesIO(guessed))[0]) >= 2 * len(X)
    cut = encoded(np.append(X, 0 * X), 24000, "MP3")
    for several in (2 * cut, cut[cut.index(cut[:2], 4) :]):  # by its first frame, which is large, it would be shorter
        with pytest.raises(AudioError, match="several MP3 files in one, or one that does not say how long it is"):
            read_audio(io.BytesIO(several))
    streamed = head + b"\xff" * 4 + whole[len(head) + 4 :]  # a length that was not known when the header was written
    assert len(read_audio(io.BytesIO(streamed))[0]) == len(X)
    with pytest.raises(ChannelsCancelError, match="the channels of the audio cancel out"):
        read_audio(io.BytesIO(encoded(np.stack([X, -0.999 * X], axis=1), 24000, "WAV")))
    with pytest.raises(FileNotFoundError, match=r"there is no audio file .*absent\.wav"):
        read_audio(tmp_path / "absent.wav")
    with pytest.raises(IsADirectoryError, match="is a folder, not an audio file"):
        read_audio(tmp_path)
    (tmp_path / "text.wav").write_text("not audio")
    for source, name in ((tmp_path / "text.wav", r"text\.wav"), (io.BytesIO(b"junk"), "the audio")):
        with pytest.raises(AudioError, match=f"cannot read .*{name}: Format not recognised"):
            read_audio(source)
    for x, rate, message in (
        (np.zeros(0), RATE, " holds no samples"),
        (np.array([0.0, np.nan]), RATE, " holds samples that are not finite"),
        (32767.0 * np.ones(9), RATE, " has samples up to 32767, .*: divide 16-bit integers by 32768"),
        (chord(), RATE - 1, ": cannot resample from 22049 to 22050 Hz"),
    ):
        soundfile.write(tmp_path / "x.wav", x, rate, subtype="FLOAT")
        with pytest.raises(AudioError, match=rf"x\.wav{message}"):
            read_audio(tmp_path / "x.wav", RATE)


@pytest.mark.parametrize(
    ("x", "target", "options", "message"),
    [
        (chord(), "chord.wma", {}, "unknown format 'wma'; known: wav, "),
        (chord(), "chord", {}, "it has no suffix; known: wav, "),
        (chord(), "absent/chord.wav", {}, "there is no directory absent"),
        (chord(), io.BytesIO(), {}, "needs a format: wav, "),
        (chord()[None], io.BytesIO(), {"format": "wav"}, r"not float32 of shape \(1, 22050\)"),
        (chord()[:0], io.BytesIO(), {"format": "wav"}, r"not float32 of shape \(0,\)"),
        (np.zeros(5, np.int16), io.BytesIO(), {"format": "wav"}, "not int16"),
        (np.full(5, np.inf, np.float32), io.BytesIO(), {"format": "wav"}, "NaN or infinite"),
        (np.full(5, 1e39), io.BytesIO(), {"format": "wav_f32"}, "NaN or infinite"),
        (chord(), "chord.opus", {"sample_rate": 22050.0}, r"whole number of Hz, such as 22050, not 22050\.0"),
        (chord(), "chord.wav", {"sample_rate": "22050"}, "whole number of Hz, such as 22050, not '22050'"),
    ],
)
def test_invalid_arguments_for_writing_are_rejected(x, target, options, message):
    with pytest.raises(AudioError, match=message):
        write_audio(target, x, **{"sample_rate": RATE, **options})


X = (0.3 * np.sin(np.linspace(0.0, 3000.0, 24000))).astype(np.float32)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_chained_ogg_streams_are_rejected_rather_than_truncated(subtype, tmp_path):
    one = encoded(X, 24000, "OGG", subtype)
    assert not any(ogg_fault(io.BytesIO(other)) for other in (one, encoded(X, 24000, "FLAC"), b""))
    assert all("truncated" in ogg_fault(io.BytesIO(one[:size])) for size in (-1, one.rindex(b"OggS") + 9))
    path = tmp_path / "chain.ogg"
    path.write_bytes(one + encoded(X, 24000, "OGG", subtype))
    for source in (path, io.BytesIO(path.read_bytes())):
        with pytest.raises(AudioError, match="chain of several Ogg streams"):
            read_audio(source)


ORIGIN = Origin('räume, "zwei"\n', "1.2.3", 2**63 - 1)


@pytest.mark.parametrize("name", AUDIO_FORMATS)
def test_every_format_stores_the_origin_and_reports_a_full_disk(name):
    tagged, plain = io.BytesIO(), io.BytesIO()
    write_audio(tagged, X, 24000, format=name, origin=ORIGIN)
    write_audio(plain, X, 24000, format=name)
    info = audio_info(tagged.seek(0) or tagged)
    assert (info.origin, info.sample_rate, info.channels) == (ORIGIN, 24000, 1)
    assert name == "mp3" or info.program.startswith("flow-vocoder 1.2.3")
    assert audio_info(plain.seek(0) or plain).origin is None
    np.testing.assert_array_equal(read_audio(tagged)[0], read_audio(plain)[0])
    with pytest.raises(AudioError, match="cannot write /dev/full: No space left on device"):
        write_audio("/dev/full", X, 24000, format=name)


@given(st.text(), st.text(), st.none() | st.integers(0, 2**63 - 1), st.booleans(), st.none() | st.just("float32"))
def test_origins_survive_json(model, version, seed, synthetic, dtype):
    origin = Origin(model, version, seed, synthetic, dtype)
    assert set(origin.to_json()) <= set(map(chr, range(32, 127)))
    assert Origin.of_json(origin.to_json()) == origin


@pytest.mark.parametrize(
    "text",
    [
        *("", "recorded at home", "[1]", "null", "{}", "[" * 100_000),
        '{"model": 3, "version": "1", "synthetic": true}',
        '{"model": "a", "version": "1", "synthetic": "yes"}',
        '{"model": "a", "version": "1", "synthetic": true, "seed": "1"}',
        '{"model": "a", "version": "1", "synthetic": true, "dtype": 1}',
    ],
)
def test_other_comments_are_not_taken_for_origins(text):
    assert Origin.of_json(text) is None


def test_a_file_without_an_origin_reports_no_program(tmp_path):
    with soundfile.SoundFile(tmp_path / "x.wav", "w", 24000, 1) as file:
        file.comment = "recorded at home"
        file.write(X)
    info = audio_info(tmp_path / "x.wav")
    assert (info.container, info.encoding, info.origin, info.program) == ("WAV", "PCM_16", None, None)
