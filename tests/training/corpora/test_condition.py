import resource

import av
import numpy as np
import pytest
import soundfile
from scipy.signal import firwin, oaconvolve

from training.corpora.condition import UnusableError, decode, measure_bandwidth, write_flac
from vocoder.audio.reading import AudioError

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


def test_telephone_codecs_are_decoded_and_channels_averaged(tmp_path):
    path = tmp_path / "a.g722"
    encode(path, "g722", sine(), "g722")
    assert path.stat().st_size == RATE // 2
    x, sample_rate = decode(path)
    assert (sample_rate, x.dtype, x.shape) == (RATE, np.float32, (RATE,))
    # The codec's filters delay by some samples, so compare the amplitude and the residual.
    amplitude = 2 * np.abs(np.mean(x * np.exp(-2j * np.pi * 440 * np.arange(RATE) / RATE)))
    assert amplitude == pytest.approx(0.5, rel=0.02)
    assert np.mean(x**2) - amplitude**2 / 2 < 1e-3 * amplitude**2
    # A file of silent GSM 06.10 frames, 33 bytes per 20 ms, because PyAV has no GSM encoder.
    path = tmp_path / "a.gsm"
    path.write_bytes((b"\xd8\x20\xa2\xe1\x5a" + b"\x50\x00\x49\x24\x92\x49\x24" * 4) * 50)
    x, sample_rate = decode(path)
    assert (sample_rate, len(x)) == (8000, 8000)
    assert np.abs(x).max() < 0.01
    soundfile.write(path := tmp_path / "a.wav", np.stack([sine(), 0.5 * sine()], axis=1), RATE, subtype="FLOAT")
    np.testing.assert_allclose(decode(path)[0], 0.75 * sine(), atol=1e-6)


@pytest.mark.parametrize("name", ["a.wav", "a.m4a", "a.mp3", "a.g722"])
def test_missing_empty_or_invalid_files_are_rejected_by_name(tmp_path, name):
    file, text = tmp_path / name, b"this is a letter, not a recording" * 10
    for content in (None, b"", text if name != "a.g722" else b""):
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(UnusableError, match=name):
            decode(file)
    for x, rate, fault in ((np.array([0.0, np.nan, 0.1]), RATE, "not finite"), (sine(), 7, "b.wav is at 7 Hz")):
        soundfile.write(tmp_path / "b.wav", x, rate, subtype="FLOAT")
        with pytest.raises(UnusableError, match=fault):
            decode(tmp_path / "b.wav")


def test_a_full_disk_leaves_no_incomplete_file(tmp_path):
    whole, limits = tmp_path / "whole.flac", resource.getrlimit(resource.RLIMIT_FSIZE)
    write_flac(whole, sine(), RATE)
    for share in (0.5, 0.999):  # the end is written when the file is closed
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(share * whole.stat().st_size), limits[1]))
        try:
            with pytest.raises(AudioError, match=r"cannot write .*a\.flac: the system refused it"):
                write_flac(tmp_path / "a.flac", sine(), RATE)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not (tmp_path / "a.flac").exists()


HIGH = 44100


def syllables(rate=HIGH, seconds=2.0, seed=0):
    """Return speech-like noise: modulated at 4 Hz and weaker at high frequencies."""
    x = np.random.default_rng(seed).standard_normal(int(rate * seconds))
    x = x + 10 * oaconvolve(x, firwin(201, 3000, fs=rate), mode="same")
    t = np.arange(len(x)) / rate
    return 0.01 * x * np.maximum(np.sin(2 * np.pi * 4 * t), 1e-4)


def low_passed(edge, rate=HIGH):
    return oaconvolve(syllables(rate), firwin(2001, edge, fs=rate, window=("kaiser", 12)), mode="same")


def test_the_edge_of_a_low_pass_is_found_at_any_level_and_in_steady_hiss():
    for edge in (1900, 3400, 7000, 10000, 16000):
        assert measure_bandwidth(low_passed(edge), HIGH) == pytest.approx(edge, abs=350)
    for level in (1e-5, 1e-4, 1e-3):
        x = low_passed(3400) + level * np.random.default_rng(1).standard_normal(2 * HIGH)
        assert measure_bandwidth(x, HIGH) == pytest.approx(3400, abs=350)
    for rate in (8000, 16000, 22050, 44100):
        assert measure_bandwidth(syllables(rate), rate) == rate / 2
    rest = 0.01 * syllables()  # a trace, 62 dB below the loudest band
    assert measure_bandwidth(low_passed(7000) + rest, HIGH) == pytest.approx(7000, abs=350)
    for gain in (0.01, 100.0):
        assert measure_bandwidth(gain * low_passed(7000), HIGH) == pytest.approx(7000, abs=350)
    for x in (np.zeros(HIGH), np.zeros(10), np.random.default_rng(0).standard_normal(HIGH)):
        assert measure_bandwidth(x, HIGH) == HIGH / 2
    assert measure_bandwidth(syllables(16000), 16000, 22050) == 7600
    assert measure_bandwidth(syllables(HIGH), HIGH, 22050) == 11025
    assert measure_bandwidth(low_passed(3400), HIGH, 22050) == pytest.approx(3400, abs=350)
