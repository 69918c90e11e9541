"""The stand-in for an acoustic model predicts what its features tell, and smooths the rest away."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.acoustic_model import AcousticModel, fitted

BANDS = 80


@pytest.fixture(scope="module")
def mels() -> list[NDArray[np.float32]]:
    """Slow, broad shapes that features tell, and detail in single bands and frames that they do not."""
    drawn = np.random.default_rng(0)
    time, band = np.arange(200), np.arange(BANDS)[:, None] / BANDS
    phases = drawn.uniform(0, 6, (6, 2))
    broad = [-5 + 2 * np.cos(time / 25 + a) * np.cos(3 * band + b) for a, b in phases]
    return [(shape + 0.5 * drawn.standard_normal(shape.shape)).astype(np.float32) for shape in broad]


def test_every_frame_is_predicted() -> None:
    model = AcousticModel(BANDS)
    for frames in (1, 2, 3, 100, 101):
        assert model.predict(np.zeros((BANDS, frames), np.float32)).shape == (BANDS, frames)


def test_what_is_predicted_is_smoother_than_what_it_is_from(mels: list[NDArray[np.float32]]) -> None:
    model = fitted(mels[1:], steps=60)
    predicted = model.predict(mels[0])
    broad = np.mean((predicted - mels[0]) ** 2)
    assert broad < 0.5 * np.mean((mels[0] + 5) ** 2)  # what was learnt helps with a mel that was not there
    assert np.abs(np.diff(predicted, axis=0)).mean() < 0.6 * np.abs(np.diff(mels[0], axis=0)).mean()


def test_the_same_seed_gives_the_same_model(mels: list[NDArray[np.float32]]) -> None:
    first, second = (fitted(mels, steps=3, seed=1).predict(mels[0]) for _ in range(2))
    np.testing.assert_array_equal(first, second)
