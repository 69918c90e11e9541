import pytest
import torch

from vocoder.export.transforms import ProductTransforms, irfft, rfft


@pytest.mark.parametrize("n", [2, 4, 6, 8, 12, 30, 64, 200, 512, 1024, 34])
def test_there_and_back(n):
    x = torch.randn(2, 3, n, dtype=torch.float64)
    torch.testing.assert_close(rfft(x), torch.fft.rfft(x), rtol=0, atol=1e-9 * n)
    spectrum = torch.randn(2, 3, n // 2 + 1, dtype=torch.complex128)
    spectrum[..., 0].imag.zero_()  # which have no meaning, and libraries treat each in its own way
    spectrum[..., -1].imag.zero_()
    torch.testing.assert_close(irfft(spectrum, n), torch.fft.irfft(spectrum, n=n), rtol=0, atol=1e-10)


def test_within_the_mode_torch_s_own_are_products():
    x = torch.randn(5, 64)
    with ProductTransforms([64]):
        spectrum = torch.fft.rfft(x)
        back = torch.fft.irfft(spectrum, n=64)
        other = torch.fft.rfft(x[:, :32])
    assert not torch.equal(spectrum, torch.fft.rfft(x))  # rounded otherwise
    torch.testing.assert_close(spectrum, torch.fft.rfft(x), rtol=0, atol=1e-4)
    torch.testing.assert_close(back, x, rtol=0, atol=1e-5)
    assert torch.equal(other, torch.fft.rfft(x[:, :32]))
