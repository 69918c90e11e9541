"""Audio resampled in pieces is audio resampled at once."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.audio.stream_resampling import PieceResampler
from vocoder.audio.resampling import half_width, resample

X = np.random.default_rng(1).uniform(-1, 1, 6000).astype(np.float32)
RATES = [(22050, 48000), (22050, 16000), (24000, 48000), (22050, 24000), (48000, 8000), (22050, 22050)]


@pytest.mark.parametrize(("source", "target"), RATES)
@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, len(X)), max_size=8), trailing=st.booleans())
def test_no_seam(source: int, target: int, cuts: list[int], trailing: bool) -> None:
    resampler = PieceResampler(source, target)
    edges = [0, *sorted(cuts), len(X)]
    pieces = [X[start:end] for start, end in itertools.pairwise(edges)]
    made = [resampler.push(piece, last=not trailing and piece is pieces[-1]) for piece in pieces]
    made += [resampler.push(X[:0], last=True)] if trailing else []
    np.testing.assert_allclose(np.concatenate(made), resample(X, source, target), rtol=0.0, atol=1e-6)


def test_output_comes_as_soon_as_it_is_certain() -> None:
    resampler, width = PieceResampler(24000, 48000), half_width(24000, 48000)
    assert 60 < width < 80
    assert len(resampler.push(X[: width - 1])) == 0
    assert 2 * 1000 >= len(resampler.push(X[width - 1 : width + 1000])) >= 2 * 990


def test_memory_does_not_grow() -> None:
    resampler = PieceResampler(22050, 48000)
    for _ in range(50):
        resampler.push(X)
    assert len(resampler._kept) < 3000
