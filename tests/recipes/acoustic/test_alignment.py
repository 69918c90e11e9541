"""Frames and the phonemes they stand in, in exact arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recipes.acoustic.alignment import places, token_prosody, tokens_of_frames
from vocoder.mel.config import preset

NVIDIA = preset("nvidia")


@given(st.lists(st.integers(1, 30), min_size=1, max_size=40))
def test_a_frame_belongs_to_the_token_at_its_centre(durations: list[int]) -> None:
    frames = NVIDIA.frames(-(-sum(durations) * 2205 // 4))
    found = tokens_of_frames(np.array(durations), frames, NVIDIA)
    for frame, token in enumerate(found):
        second = Fraction(frame * 256, 22050)
        start, end = (Fraction(600 * sum(durations[: token + k]), 24000) for k in (0, 1))
        assert start <= second
        assert second < end or token == len(durations) - 1


def test_places_count_from_both_ends() -> None:
    found = places(np.array([0, 0, 0, 0, 1, 2, 2]))
    np.testing.assert_allclose(found[0], [0.125, 0.375, 0.625, 0.875, 0.5, 0.25, 0.75])
    np.testing.assert_allclose(found[1], [0.0, 0.1, 0.2, 0.3, 0.0, 0.0, 0.1], rtol=1e-6)
    np.testing.assert_allclose(found[1] + found[2], (np.array([4, 4, 4, 4, 1, 2, 2]) - 1) / 10, rtol=1e-6)
    np.testing.assert_allclose(np.exp(found[3]) * 5, [4, 4, 4, 4, 1, 2, 2], rtol=1e-6)


def test_prosody_is_pitch_over_voiced_places_voicing_and_level() -> None:
    pitch = np.array([0.0, 0.0, 400.0, 400.0, 100.0, 0.0])
    mel = np.full((80, 4), -5.0, np.float32)
    mel[:, 3] = -3.0
    found = token_prosody(pitch, np.array([1, 1, 1]), mel, np.array([0, 1, 1, 2]))
    np.testing.assert_allclose(found, [[0.0, 1.0, -1.0], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]], atol=1e-6)
