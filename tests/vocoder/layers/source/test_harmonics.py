import math

import pytest
import torch

from vocoder.layers.source import harmonics
from vocoder.layers.source.harmonics import at_sample_rate, harmonic_source

pytestmark = pytest.mark.usefixtures("float64")

RATE, HOP = 16000, 64


def steady(f0: float, f_max: float, seconds: float = 1.0, voicing: float = 1.0) -> torch.Tensor:
    frames = int(seconds * RATE / HOP)
    return harmonic_source(torch.full((1, frames), f0), torch.full((1, frames), voicing), HOP, RATE, f_max)[0]


def power_spectrum(x: torch.Tensor) -> torch.Tensor:
    """Return the power at each whole frequency in Hz of one second: a^2 / 2 of a sine of amplitude a."""
    return 2 * torch.fft.rfft(x).abs().square() / len(x) ** 2


@pytest.mark.parametrize("f0", [80, 125, 400])
def test_there_are_harmonics_of_equal_strength_and_nothing_else(f0):
    power = power_spectrum(steady(float(f0), 4000.0))
    harmonics = torch.arange(f0, 4001, f0)
    torch.testing.assert_close(power[harmonics], torch.full((len(harmonics),), 2.0 * f0 / RATE), rtol=1e-6, atol=0)
    power[harmonics] = 0.0
    assert power.sum() < 1e-12


def test_it_is_the_sum_of_cosines_in_phase_with_the_integral_of_f0():
    f0 = torch.exp(torch.empty(2, 20).uniform_(math.log(60), math.log(500)))
    voicing = torch.rand(2, 20)
    x = harmonic_source(f0, voicing, HOP, RATE, 3000.0)
    f0_t = torch.exp(at_sample_rate(f0.log(), HOP))
    phase = 2 * math.pi * torch.cumsum(f0_t, dim=1) / RATE
    number = torch.arange(1, 60)[:, None, None]
    weight = (3000.0 / f0_t - number + 1).clamp(0, 1)
    expected = (weight * torch.cos(number * phase)).sum(dim=0) * 2 * torch.sqrt(f0_t / RATE)
    torch.testing.assert_close(x, expected * at_sample_rate(voicing, HOP), atol=1e-6, rtol=0)


def test_more_frames_do_not_change_what_was_before_the_last():
    f0, voicing = 100 + 300 * torch.rand(1, 12), torch.rand(1, 12)
    whole = harmonic_source(f0, voicing, HOP, RATE, 4000.0)
    for frames in (1, 5, 11):
        part = harmonic_source(f0[:, :frames], voicing[:, :frames], HOP, RATE, 4000.0)
        certain = (frames - 1) * HOP + 1
        torch.testing.assert_close(part[:, :certain], whole[:, :certain], atol=1e-12, rtol=0)


def test_compiled_code_gives_the_source_in_float64_rounded(monkeypatch):
    f0 = (55 * torch.exp(2.3 * torch.rand(2, 23, dtype=torch.float64))).float()
    f0[0, 5:12] = f0[0, 5]  # a pitch that stays
    voicing = torch.rand(2, 23, dtype=torch.float32)
    made = harmonic_source(f0, voicing, 256, 22050, 8000.0)
    assert made.dtype == torch.float32
    monkeypatch.setattr(harmonics, "kernel", lambda *names: None)
    exact = harmonic_source(f0.double(), voicing.double(), 256, 22050, 8000.0)
    torch.testing.assert_close(made.double(), exact, atol=1e-5, rtol=1e-5)
    plain = harmonic_source(f0, voicing, 256, 22050, 8000.0)
    torch.testing.assert_close(plain.double(), exact, atol=5e-5, rtol=5e-5)
