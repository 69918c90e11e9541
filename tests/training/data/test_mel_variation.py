"""Mels that are smoothed and disturbed: a share of the items, both axes, and the level stays."""

import torch

from training.data.mel_variation import BlurConfig, blurred


def test_triangles_smooth_both_axes_and_keep_the_level():
    torch.manual_seed(0)
    mel = torch.zeros(40, 21, 31)
    mel[:, 10, 15] = 1.0
    smooth = blurred(mel, BlurConfig(share=1.0, bands=5, frames=9, roughness=0.0))
    torch.testing.assert_close(smooth.sum(dim=(1, 2)), torch.ones(40))
    bands, frames = (smooth.sum(dim=axis) > 1e-6 for axis in (2, 1))
    assert bands.sum(dim=1).max() == 5
    assert 5 < frames.sum(dim=1).max() <= 9
    assert smooth[:, 10, 15].std() > 0.05  # every item has sizes of its own


def test_a_share_of_the_items_is_smoothed_and_disturbed():
    torch.manual_seed(0)
    mel = torch.zeros(400, 4, 8)
    noisy = blurred(mel, BlurConfig(share=0.3, roughness=0.5)).flatten(1).std(dim=1)
    assert 0.2 < (noisy > 0).float().mean() < 0.4
    assert noisy.max() < 0.8
