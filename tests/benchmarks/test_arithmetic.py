import pytest
import torch

from benchmarks.arithmetic import operations
from benchmarks.hifigan import HiFiGAN
from vocoder.layers.stack.wavenet import WaveNetConfig, WaveNetStack


def test_operations_are_those_of_the_formulas_however_they_are_computed():
    config = WaveNetConfig(channels=16, dilations=(1, 2))
    stack = WaveNetStack(3, 4, 5, config).eval().requires_grad_(False)
    x, cond = torch.randn(1, 3, 40), torch.randn(1, 5, 40)
    dilated, res_skip = 2 * 3 * 16 * 32, 16 * 32 + 16 * 16
    products = 3 * 16 + 5 * 64 + dilated + res_skip + 16 * 4
    assert operations(lambda: stack(x, cond)) == 2 * 40 * products


def test_the_generator_is_the_published_one():
    generator = HiFiGAN().eval()
    assert sum(parameter.numel() for parameter in generator.parameters()) == 925_985  # "0.92 M" in the paper
    x = generator(torch.randn(2, 80, 3))
    assert x.shape == (2, 3 * 256)
    assert 0 < x.abs().max() <= 1
    with pytest.raises(RuntimeError, match="expected input"):
        generator(torch.randn(1, 81, 3))
