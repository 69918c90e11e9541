"""The store of decoded audio: samples exact to 16 bits, zeros outside an utterance, never a neighbour's samples."""

import numpy as np
from evaluation_corpus import write_recordings

from training.data.stores import AudioStore

RATE = 8000


def test_reads_are_exact_and_zero_outside(tmp_path):
    audio = [np.arange(1, 101, dtype=np.int16) * (number + 1) for number in range(3)]
    manifest = write_recordings(tmp_path, *((x, {}) for x in audio), rate=RATE)
    store = AudioStore(manifest, manifest.entries)
    assert store.lengths.tolist() == [100, 100, 100]
    for start, stop in ((0, 100), (10, 20), (-5, 30), (90, 130), (-7, 111), (200, 220), (-30, -10), (50, 50)):
        expected = np.pad(audio[1], 300)[start + 300 : stop + 300] / 32768
        found = store.read(1, start, stop)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected)
