from unittest.mock import Mock

import librosa
import numpy as np
import pytest
import soundfile
from evaluation_corpus import write_recordings

import training.corpora.pitch as pitch
from training.corpora.manifest import ManifestError
from training.corpora.pitch import label_hop, read_tracks, track_pitch
from training.corpora.pyin import F0_MAX, F0_MIN, pyin
from vocoder.config import ConfigError

RATE = 22050


def voice(f0, noise=0.0, level=1.0):
    """Return noise and harmonics of f0 in Hz, (T,) or for 0.5 s, up to 4 kHz and falling by 6 dB per octave."""
    f0 = np.broadcast_to(f0, np.shape(f0) or RATE // 2)
    phase = 2 * np.pi * np.cumsum(f0) / RATE
    harmonics = [np.where(n * f0 < 4000, np.cos(n * phase) / n, 0.0) for n in range(1, 73)]
    x = 0.2 * np.sum(harmonics, axis=0) + noise * np.random.default_rng(0).standard_normal(len(f0))
    return (level * x).astype(np.float32)


def corpus(root, pitches):
    return write_recordings(root, *((voice(f0), {"corpus": f"c{number % 2}"}) for number, f0 in enumerate(pitches)))


def count_calls(monkeypatch):
    counted = Mock(wraps=track_pitch)
    monkeypatch.setattr(pitch, "track_pitch", counted)
    return counted


@pytest.mark.parametrize("speed", [0.65, 1.0, 1.25])
def test_labels_follow_the_playback_speed(speed):
    f0 = track_pitch(voice(150.0), RATE, speed)
    assert (label_hop(RATE, speed), len(f0)) == (round(256 * speed), 1 + RATE // 2 // label_hop(RATE, speed))
    np.testing.assert_allclose(f0[6:-6], 150 * speed, rtol=0.01)


def test_quiet_parts_and_hum_are_unvoiced():
    x = np.concatenate([voice(150.0), voice(150.0, level=0.003)])
    f0 = track_pitch(x, RATE)
    assert (f0[6:36] > 0).all()
    assert (f0[52:] == 0).all()
    assert (track_pitch(np.zeros(RATE, np.float32), RATE) == 0).all()
    assert (track_pitch(x[RATE // 2 :], RATE)[6:-6] > 0).all()
    hum = 0.2 * np.sin(2 * np.pi * 50 * np.arange(RATE) / RATE).astype(np.float32)
    x = hum + np.concatenate([np.zeros(RATE // 2, np.float32), voice(150.0)])
    f0 = track_pitch(x, RATE)
    assert np.abs(f0[52:-6] - 150).max() < 3
    assert (f0[6:36] == 0).all()


def test_labels_are_computed_once_per_recording(tmp_path, monkeypatch, capsys):
    manifest, calls = corpus(tmp_path, [120.0, 240.0, 200.0]), count_calls(monkeypatch)
    read_tracks(manifest, manifest.entries[:1], [1.0])
    assert (calls.call_count, capsys.readouterr().err) == (2, "tracking the pitch: 2 recordings\n")
    first = read_tracks(manifest, manifest.entries, [1.0])[1.0]
    assert (calls.call_count, [round(float(np.median(f0)), -1) for f0 in first]) == (3, [120, 240, 200])
    again = read_tracks(manifest, manifest.entries[::-1], [1.0])[1.0]
    assert calls.call_count == 3
    assert [f0.tolist() for f0 in first] == [f0.tolist() for f0 in again[::-1]]
    labels = {file.name for file in (tmp_path / "pitch").glob("*.npy")}
    assert labels == {f"{number}.flac-1.00.npy" for number in range(3)}


def test_labels_are_recomputed_for_changed_files_and_new_speeds(tmp_path, monkeypatch):
    manifest, calls = corpus(tmp_path, [120.0, 240.0]), count_calls(monkeypatch)
    read_tracks(manifest, manifest.entries, [1.0])
    soundfile.write(tmp_path / "1.flac", voice(300.0), RATE, subtype="PCM_16")
    tracks = read_tracks(manifest, manifest.entries, [1.0])[1.0]
    assert (calls.call_count, round(float(np.median(tracks[1])), -1)) == (3, 300)
    calls.reset_mock()
    read_tracks(manifest, manifest.entries, [0.8, 1.0])
    assert calls.call_count == 2


def test_unreadable_files_and_short_windows_are_rejected(tmp_path):
    manifest = corpus(tmp_path, [120.0])
    (tmp_path / "0.flac").write_bytes(b"no audio")
    with pytest.raises(ManifestError, match=r"0\.flac"):
        read_tracks(manifest, manifest.entries, [1.0])
    with pytest.raises(ConfigError, match="too short for a period"):
        pyin(np.zeros(4000, np.float32), RATE, 256)


def glide(low, high, seconds=1.0):
    return low * (high / low) ** (np.arange(int(seconds * RATE)) / (seconds * RATE))


@pytest.mark.parametrize(("window", "hop_length"), [(2048, 256), (1024, 200)])
def test_pyin_equals_that_of_librosa(window, hop_length):
    noise = 0.05 * np.random.default_rng(1).standard_normal(RATE // 2)
    parts = np.zeros(RATE // 4), voice(glide(90, 150)), noise, voice(glide(260, 200), 0.1)
    x = np.concatenate(parts).astype(np.float32)
    f0, voiced, probability = pyin(x, RATE, window, hop_length)
    limits = {"fmin": F0_MIN, "fmax": F0_MAX, "resolution": 0.1, "fill_na": None}
    expected = librosa.pyin(x, sr=RATE, **limits, frame_length=window, hop_length=hop_length)
    assert 0.2 < expected[1].mean() < 0.9
    assert np.array_equal(voiced, expected[1])
    np.testing.assert_allclose(f0[voiced], expected[0][voiced], rtol=1e-6)
    np.testing.assert_allclose(probability, expected[2], atol=1e-5)
