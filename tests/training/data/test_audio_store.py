"""The store of decoded audio: samples exact to 16 bits, zeros outside an utterance, never a neighbour's samples."""

import numpy as np
import soundfile

from training.corpora.manifest import Entry, Manifest
from training.data.audio_store import AudioStore

RATE = 8000


def test_reads_are_exact_and_zero_outside(tmp_path):
    audio = [np.arange(1, 101, dtype=np.int16) * (number + 1) for number in range(3)]
    entries = []
    for number, x in enumerate(audio):
        soundfile.write(tmp_path / f"{number}.flac", x, RATE, subtype="PCM_16")
        entries.append(Entry(f"{number}.flac", "c", "s", "train", 100 / RATE, RATE, "CC0-1.0"))
    store = AudioStore(Manifest(tmp_path, tuple(entries)), entries)
    assert store.lengths.tolist() == [100, 100, 100]
    for start, stop in ((0, 100), (10, 20), (-5, 30), (90, 130), (-7, 111), (200, 220), (-30, -10), (50, 50)):
        expected = np.pad(audio[1], 300)[start + 300 : stop + 300] / 32768
        found = store.read(1, start, stop)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected)
