"""The picture of the augmentations: one panel for each, the same again, small enough for a repository."""

import numpy as np

from benchmarks.augmentation_pictures import SOUNDS, draw, varied

RATE = 22050


def noise(seconds: float = 3.0):
    return (0.1 * np.random.default_rng(0).standard_normal(int(seconds * RATE))).astype(np.float32)


def test_every_kind_of_sound_differs_from_the_recording_and_keeps_its_length():
    x = noise(0.5)
    for config in SOUNDS.values():
        y = varied(x, RATE, config)
        assert y.shape == x.shape
        assert not np.allclose(y, x, atol=1e-3)


def test_the_picture_is_small_and_the_same_again(tmp_path):
    for name in ("one.png", "two.png"):
        draw(noise(), RATE, tmp_path / name)
    picture = (tmp_path / "one.png").read_bytes()
    assert picture == (tmp_path / "two.png").read_bytes()
    assert len(picture) < 500_000
