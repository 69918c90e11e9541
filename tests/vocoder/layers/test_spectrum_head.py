import dataclasses

import pytest
import torch

from vocoder.layers.spectrum_head import SpectrumHead, SpectrumHeadConfig
from vocoder.layers.stack.wavenet import set_compute_dtype
from vocoder.mel.config import preset

NVIDIA = preset("nvidia")


def head(mel=NVIDIA):
    made = SpectrumHead(SpectrumHeadConfig(mel), 24)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made


def signals(frames, batch=2):
    hidden, mel = torch.randn(batch, 24, frames), torch.randn(batch, 80, frames) - 4
    return hidden, torch.randn(batch, 2 * 513, frames), mel


def test_analysis_is_inverted_and_spectra_of_white_noise_have_power_one():
    made, x = head(), torch.randn(2, 1, 20 * 256)
    scale = made.filter.window.square().sum().sqrt()
    torch.testing.assert_close(scale * made.audio(made.analysed(x)), x, atol=2e-5, rtol=0)
    power = head().analysed(torch.randn(1, 1, 400 * 256)).square().unflatten(1, (2, 513)).sum(dim=1)
    assert float(power[:, 1:-1].mean()) == pytest.approx(1.0, abs=0.03)


def test_the_mel_shift_is_bounded_and_plain_operations_give_gradients():
    made, (hidden, _, mel) = head(), signals(7)
    moved = made.target(100 * made.normed(hidden), mel) - mel
    assert float(moved.detach().abs().max()) == pytest.approx(2.0, abs=1e-3)
    made, (hidden, excitation, mel) = head(), signals(5)
    normed = made.normed(hidden)
    made.spectrum(normed, excitation, mel, made.target(normed, mel)).square().sum().backward()
    assert all(bool(p.grad.isfinite().all()) and bool(p.grad.any()) for p in made.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("mel", [NVIDIA, dataclasses.replace(NVIDIA, name="all", f_max=11025.0)], ids=lambda m: m.name)
def test_compiled_spectra_equal_plain_ones(dtype, mel):
    made, (hidden, excitation, given) = head(mel), signals(9)
    set_compute_dtype(made, dtype)
    normed = made.normed(hidden)
    target = made.target(normed, given)
    with torch.no_grad():
        compiled = made.spectrum(normed, excitation, given, target)
        free = made.end(normed.transpose(1, 2)).float()
        plain = made._plain(free, *(x.transpose(1, 2) for x in (excitation, given, target))).transpose(1, 2)
    assert made._tables._made is not None  # compiled code was used
    torch.testing.assert_close(compiled, plain, rtol=1e-4, atol=1e-5 * float(plain.abs().max()))


@pytest.mark.parametrize("size", [1024, 768])  # an even and an odd number of hops
def test_compiled_audio_equals_plain_audio(size):
    made = head(dataclasses.replace(NVIDIA, name="other", n_fft=size, win_length=size))
    frames, owned = torch.randn(2, 20, size), torch.ones(20)
    owned[10:14] = 0
    spectra = torch.fft.rfft(frames)
    compiled = made.audio(torch.cat([spectra.real, spectra.imag], dim=2).transpose(1, 2), owned)
    torch.testing.assert_close(compiled, made._overlapped(frames, owned), atol=1e-4, rtol=1e-4)


def test_frames_in_a_gap_do_not_contribute():
    made, spectra = head(), torch.randn(1, 2 * 513, 20)
    owned = torch.ones(20)
    owned[10:14] = 0
    other = spectra.clone()
    other[:, :, 10:14] = 9.0
    assert torch.equal(made.audio(spectra, owned), made.audio(other, owned))
    alone = made.audio(spectra[:, :, :10])
    torch.testing.assert_close(made.audio(spectra, owned)[:, :, : 10 * 256], alone, atol=1e-5, rtol=1e-5)
