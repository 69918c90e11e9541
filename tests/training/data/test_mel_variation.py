"""Mels varied in training: a share of the items, and only smoothed or disturbed."""

import torch

from training.data.mel_variation import VariationConfig, varied


def mels(items=64):
    return torch.randn(items, 20, 30, generator=torch.Generator().manual_seed(0)) - 5


def test_a_share_of_the_mels_is_varied():
    torch.manual_seed(0)
    mel = mels()
    changed = (varied(mel, 0.5, VariationConfig()) != mel).flatten(1).any(dim=1)
    assert 20 < int(changed.sum()) < 44
    assert varied(mel, 0.0, VariationConfig()) is mel


def test_varied_mels_stay_near_and_the_same_seed_varies_them_alike():
    mel = mels()
    torch.manual_seed(3)
    first = varied(mel, 1.0, VariationConfig())
    torch.manual_seed(3)
    torch.testing.assert_close(varied(mel, 1.0, VariationConfig()), first)
    assert 0.02 < float((first - mel).abs().mean()) < 1.0
