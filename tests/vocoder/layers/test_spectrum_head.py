"""The head of the default model: spectra of an excitation, scaled to a mel, and back to audio."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny_models import TINY_MEL

from vocoder.config import ConfigError
from vocoder.layers.mel_filter import MelFilter
from vocoder.layers.spectrum_head import SpectrumHead, SpectrumHeadConfig
from vocoder.mel.config import preset

pytestmark = pytest.mark.usefixtures("float64")

CHANNELS, FRAMES = 6, 20


def head() -> SpectrumHead:
    torch.manual_seed(0)
    made = SpectrumHead(SpectrumHeadConfig(TINY_MEL), CHANNELS).requires_grad_(False)
    for parameter in made.parameters():
        parameter.add_(0.3 * torch.randn_like(parameter))
    return made


def test_audio_that_is_analysed_comes_back():
    made, x = head(), torch.randn(2, 1, FRAMES * TINY_MEL.hop_length)
    spectra = made.analysed(x) * made.window.square().sum().sqrt()
    inside = slice(TINY_MEL.n_fft, -TINY_MEL.n_fft)
    torch.testing.assert_close(made.audio(spectra)[..., inside], x[..., inside])


def test_white_noise_has_power_one_in_each_bin():
    made = head()
    spectra = made.analysed(torch.randn(1, 1, 4000 * TINY_MEL.hop_length))[0, :, 8:-8]
    power = (spectra[1 : made.bins - 1] ** 2 + spectra[made.bins + 1 : -1] ** 2).mean()
    assert float(power) == pytest.approx(1.0, abs=0.03)


def test_spectra_have_the_mel_that_the_head_aims_at():
    """To what spreading from bands to bins leaves: a bin between two bands takes the mean of both."""
    made, mel = head(), -2 + torch.randn(1, 5, FRAMES)
    hidden, excitation = torch.randn(1, CHANNELS, FRAMES), torch.randn(1, 2 * made.bins, FRAMES)
    target = made.target(hidden, mel)
    assert float((target - mel).abs().max()) > 0.1
    spectrum = made.spectrum(hidden, excitation, mel, target).transpose(1, 2)
    real, imaginary = torch.split(spectrum, made.bins, dim=2)
    left = MelFilter(TINY_MEL).difference(real, imaginary, target.transpose(1, 2)).abs()
    assert float(left.mean()) < 0.35
    given = MelFilter(TINY_MEL).difference(real, imaginary, (target + 1.0).transpose(1, 2))
    torch.testing.assert_close(given.mean(), torch.tensor(1.0), atol=0.1, rtol=0)


def test_the_shift_of_the_mel_is_bounded():
    made, mel = head(), torch.zeros(1, 5, FRAMES)
    made.shift.weight.mul_(1e3)
    moved = made.target(torch.randn(1, CHANNELS, FRAMES), mel)
    assert float(moved.abs().max()) <= made.config.shift_bound


def test_frames_that_do_not_count_are_silent():
    made, spectra = head(), torch.randn(1, 2 * head().bins, FRAMES)
    owned = torch.ones(FRAMES)
    owned[10:] = 0.0
    whole = made.audio(spectra[:, :, :10])
    torch.testing.assert_close(made.audio(spectra, owned)[:, :, : 10 * TINY_MEL.hop_length], whole)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mel": replace(TINY_MEL, log="log10")}, "natural-log magnitude mels"),
        ({"mel": preset("speecht5")}, "natural-log magnitude mels"),
        ({"log_gain_bound": 0.0}, "must be above 0"),
        ({"shift_bound": -1.0}, "must be above 0"),
    ],
)
def test_a_head_that_cannot_be_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        SpectrumHeadConfig(**({"mel": TINY_MEL} | changes))
