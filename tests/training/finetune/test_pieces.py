"""Long recordings become pieces that lose nothing and end in pauses."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import soundfile

from training.corpora.layouts import scan_folder
from training.finetune.pieces import cut, cut_long_recordings

RATE = 8000


def sentences(pauses: list[float], seconds: float) -> np.ndarray:
    """Return noise with a quarter of a second of near silence at each of the moments."""
    x = 0.1 * np.random.default_rng(0).standard_normal(int(seconds * RATE)).astype(np.float32)
    for moment in pauses:
        x[int((moment - 0.125) * RATE) : int((moment + 0.125) * RATE)] *= 1e-3
    return x


def test_pieces_are_the_whole_and_end_in_pauses() -> None:
    pauses = [5.0, 13.0, 20.5, 30.0]
    x = sentences(pauses, 37.0)
    pieces = cut(x, RATE)
    assert pieces[0][0] == 0
    assert pieces[-1][1] == len(x)
    assert all(a[1] == b[0] for a, b in pairwise(pieces))
    np.testing.assert_allclose([stop / RATE for _, stop in pieces[:-1]], pauses, atol=0.06)


def test_pieces_of_noise_keep_to_their_lengths() -> None:
    lengths = [(stop - start) / RATE for start, stop in cut(sentences([], 100.0), RATE)]
    assert all(4 <= length <= 12 for length in lengths[:-1])
    assert cut(np.zeros(RATE), RATE) == [(0, RATE)]


def test_short_recordings_stay_and_broken_ones_are_left_to_preparation(tmp_path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    long = sentences([8.0], 16.0)
    soundfile.write(folder / "long.wav", long, RATE, subtype="PCM_24")
    soundfile.write(folder / "short.wav", sentences([], 2.0), RATE)
    (folder / "torn.wav").write_bytes(b"RIFF")
    corpus = cut_long_recordings(scan_folder(folder, "mine"), tmp_path / "pieces")
    assert [recording.name for recording in corpus.recordings] == [
        "long-0000.flac",
        "long-0001.flac",
        "short.wav",
        "torn.wav",
    ]
    read = [soundfile.read(recording.path, dtype="float32")[0] for recording in corpus.recordings[:2]]
    np.testing.assert_allclose(np.concatenate(read), long, atol=2**-22)
