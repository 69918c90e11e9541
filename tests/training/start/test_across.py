"""A start from another mel: the same function of sounds that both mels tell alike."""

from dataclasses import replace

import pytest
import torch
from tiny_models import stirred
from tiny_reverse import CONFIG
from tiny_waveglow import MEL

from training.start.across import between, weights_across
from training.start.inheritance import inherit
from vocoder.checkpoint import save_model
from vocoder.config import ConfigError
from vocoder.layers.conditioning import normalised
from vocoder.layers.spectrum_head import SpectrumHeadConfig
from vocoder.mel.config import preset
from vocoder.mel.spectrogram import mel_filterbank
from vocoder.models.reverse import Reverse

OTHER = replace(MEL, name="other", sample_rate=2 * MEL.sample_rate, n_mels=MEL.n_mels + 3, f_max=MEL.f_max * 1.5)


def reverse_of(mel):
    torch.manual_seed(0)
    config = replace(CONFIG, n_mels=mel.n_mels, sample_rate=mel.sample_rate, head=SpectrumHeadConfig(mel))
    return stirred(Reverse(config), 0.1).requires_grad_(False)


def flat(mel):
    """The mel (n_mels,) of a flat spectrum."""
    return mel_filterbank(mel).sum(dim=1).log().float()


def test_a_flat_spectrum_goes_from_any_mel_to_any():
    for source, target in (("vocos", "nvidia"), ("nvidia", "vocos"), ("nvidia", "nvidia")):
        weights, offset = between(preset(source), preset(target))
        torch.testing.assert_close(weights @ (flat(preset(source)) - 2.0) + offset, flat(preset(target)) - 2.0)
    torch.testing.assert_close(weights, torch.eye(80))


def test_the_same_mel_changes_no_weight():
    given = reverse_of(MEL)
    moved = weights_across(reverse_of(MEL), given)
    for name, value in given.state_dict().items():
        torch.testing.assert_close(moved[name], value)


def test_layers_that_see_the_mel_see_the_same_of_a_flat_spectrum(tmp_path):
    given, made = reverse_of(MEL), reverse_of(OTHER)
    inherit(made, str(save_model(tmp_path / "given", given, MEL)))
    one, other = (flat(mel)[None, :, None].expand(1, -1, 9) for mel in (MEL, OTHER))
    for name in ("condition", "pitch"):
        first, second = getattr(given, name).layers[0], getattr(made, name).layers[0]
        inner = (first(normalised(one))[..., 4], second(normalised(other))[..., 4])
        torch.testing.assert_close(*inner, rtol=1e-4, atol=1e-5)
    z, condition = torch.zeros(1, CONFIG.hop_length, 9), torch.randn(1, CONFIG.cond_channels, 9)
    torch.testing.assert_close(given._started(z, condition, one), made._started(z, condition, other))
    assert not made.start.weight[
        :, CONFIG.hop_length // 2 + 1 : CONFIG.hop_length
    ].any()  # above the given audio's band


def test_another_window_or_head_is_refused(tmp_path):
    longer = replace(OTHER, n_fft=2 * OTHER.n_fft, win_length=2 * OTHER.n_fft)
    with pytest.raises(ConfigError, match="the same window and hop"):
        weights_across(reverse_of(longer), reverse_of(MEL))
    with pytest.raises(ConfigError, match="only a reverse student with a spectrum head"):
        weights_across(Reverse(CONFIG), reverse_of(MEL))
