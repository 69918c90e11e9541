import numpy as np
import pytest
import soundfile
from evaluation_corpus import write_recordings

import training.corpora.pitch as pitch
from training.corpora.manifest import ManifestError
from training.corpora.pitch import follow, label_hop, read_tracks

RATE = 22050


def voice(f0, seconds=0.5, level=1.0):
    time = np.arange(int(seconds * RATE)) / RATE
    return (level * 0.2 * sum(np.cos(2 * np.pi * n * f0 * time) / n for n in range(1, 20))).astype(np.float32)


def corpus(root, pitches):
    return write_recordings(root, *((voice(f0), {"corpus": f"c{number % 2}"}) for number, f0 in enumerate(pitches)))


def counted(monkeypatch):
    """Return a list that grows with each recording that is followed."""
    calls = []

    def counting(x, *rest):
        calls.append(len(x))
        return follow(x, *rest)

    monkeypatch.setattr(pitch, "follow", counting)
    return calls


@pytest.mark.parametrize("speed", [0.65, 1.0, 1.25])
def test_labels_are_of_what_is_played(speed):
    f0 = follow(voice(150.0), RATE, speed)
    assert label_hop(RATE, speed) == round(256 * speed)
    assert len(f0) == 1 + RATE // 2 // label_hop(RATE, speed)
    np.testing.assert_allclose(f0[6:-6], 150 * speed, rtol=0.01)


def test_what_is_far_below_the_loudest_is_unvoiced():
    x = np.concatenate([voice(150.0), voice(150.0, level=0.003)])
    f0 = follow(x, RATE)
    assert (f0[6:36] > 0).all()
    assert (f0[52:] == 0).all()
    assert (follow(np.zeros(RATE, np.float32), RATE) == 0).all()
    quiet = x[RATE // 2 :]
    assert (follow(quiet, RATE)[6:-6] > 0).all()
    assert (follow(quiet, RATE, loudest=0.2) == 0).all()  # the loudest frame lies elsewhere


def test_hum_is_no_voice_and_hides_none():
    hum = 0.2 * np.sin(2 * np.pi * 50 * np.arange(RATE) / RATE).astype(np.float32)
    x = hum + np.concatenate([np.zeros(RATE // 2, np.float32), voice(150.0)])
    f0 = follow(x, RATE)
    assert (f0[52:-6] > 0).all()
    assert np.abs(f0[52:-6] - 150).max() < 3
    assert (f0[6:36] == 0).all()
    assert (follow(x, RATE, high_pass=0.0)[6:36] > 0).all()


def test_labels_are_made_once_for_a_whole_corpus(tmp_path, monkeypatch, capsys):
    manifest, calls = corpus(tmp_path, [120.0, 240.0, 200.0]), counted(monkeypatch)
    read_tracks(manifest, manifest.entries[:1], [1.0])
    assert len(calls) == 2
    assert capsys.readouterr().err == "following the pitch: 2 recordings\n"
    first = read_tracks(manifest, manifest.entries, [1.0])[1.0]
    assert len(calls) == 3
    assert [round(float(np.median(f0)), -1) for f0 in first] == [120, 240, 200]
    again = read_tracks(manifest, manifest.entries[::-1], [1.0])[1.0]
    assert len(calls) == 3
    for a, b in zip(first, again[::-1], strict=True):
        assert np.array_equal(a, b)
    labels = sorted(file.name for file in (tmp_path / "pitch").glob("*.npy"))
    assert labels == [f"{number}.flac-1.00.npy" for number in range(3)]


def test_a_changed_file_or_speed_is_noticed(tmp_path, monkeypatch):
    manifest, calls = corpus(tmp_path, [120.0, 240.0]), counted(monkeypatch)
    read_tracks(manifest, manifest.entries, [1.0])
    soundfile.write(tmp_path / "1.flac", voice(300.0), RATE, subtype="PCM_16")
    tracks = read_tracks(manifest, manifest.entries, [1.0])[1.0]
    assert len(calls) == 3
    assert round(float(np.median(tracks[1])), -1) == 300
    calls.clear()
    read_tracks(manifest, manifest.entries, [0.8, 1.0])
    assert len(calls) == 2


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    manifest = corpus(tmp_path, [120.0])
    (tmp_path / "0.flac").write_bytes(b"no audio")
    with pytest.raises(ManifestError, match=r"0\.flac"):
        read_tracks(manifest, manifest.entries, [1.0])
