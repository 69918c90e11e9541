"""Positions of frames among those of another mel config, against time itself."""

from fractions import Fraction

import pytest
import torch

from vocoder.adapt.frame_times import FrameTimes, centre_of
from vocoder.mel.config import PRESETS, preset

NVIDIA = preset("nvidia")


@pytest.mark.parametrize("name", PRESETS)
def test_a_position_is_the_time_of_the_frame(name):
    source = preset(name)
    grid = FrameTimes.between(source, NVIDIA)
    for frame in (0, 1, 1000):
        seconds = Fraction(frame * 256, 22050)
        position = grid.position(frame)
        assert centre_of(source) + position * Fraction(source.hop_length, source.sample_rate) == seconds


def test_frames_at_the_same_times_are_copied():
    grid = FrameTimes.between(preset("espnet"), NVIDIA, before=1, after=1)
    mel = torch.arange(12.0).reshape(2, 6)
    windows = grid.windows(mel, 0, 6, 0, 6)
    assert grid.plain
    assert windows[2].tolist() == [[1.0, 7.0], [2.0, 8.0], [3.0, 9.0]]
    assert windows[0].tolist() == [[0.0, 6.0], [0.0, 6.0], [1.0, 7.0]]
    assert windows[5].tolist() == [[4.0, 10.0], [5.0, 11.0], [5.0, 11.0]]


def test_a_parabola_is_met_between_frames():
    """A cubic through four points is exact for polynomials of degree two away from the ends."""
    grid = FrameTimes.between(preset("vocos"), NVIDIA)
    mel = (torch.arange(60.0, dtype=torch.float64) ** 2)[None]
    made = grid.windows(mel, 2, 50, 0, 60)[:, 0, 0]
    expected = torch.tensor([float(grid.position(frame)) ** 2 for frame in range(2, 50)], dtype=torch.float64)
    torch.testing.assert_close(made, expected)


@pytest.mark.parametrize("name", ["vocos", "speecht5", "espnet", "hifigan"])
def test_no_frame_depends_on_more_than_is_said(name):
    grid = FrameTimes.between(preset(name), NVIDIA, before=2, after=1)
    mel = torch.randn(3, 80, generator=torch.Generator().manual_seed(1))
    for frame in (5, 17, 30):
        first, last = grid.needed(frame)
        other = torch.full_like(mel, 9.0)
        other[:, first : last + 1] = mel[:, first : last + 1]
        assert torch.equal(grid.windows(other, frame, frame + 1, 0, 80), grid.windows(mel, frame, frame + 1, 0, 80))
        part = mel[:, first : last + 1]
        assert torch.equal(
            grid.windows(part, frame, frame + 1, first, None), grid.windows(mel, frame, frame + 1, 0, 80)
        )
        assert last - grid.position(frame) <= grid.lookahead
