"""The published configuration: its layout of parameters, and its arithmetic beside a straightforward version."""

import dataclasses

import pytest
import torch

from vocoder.layers.stack import WaveNetConfig
from vocoder.models.waveglow import WaveGlow
from vocoder.models.waveglow_config import published

CHANNELS = [8, 8, 8, 8, 6, 6, 6, 6, 4, 4, 4, 4]


def test_parameters_have_the_published_shapes():
    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in WaveGlow(published()).state_dict().items()}
    expected = {"condition.upsample.weight": (80, 80, 1024), "condition.upsample.bias": (80,)}
    for k, channels in enumerate(CHANNELS):
        half, network = channels // 2, f"couplings.{k}.network"
        expected[f"convinv.{k}.weight"] = (channels, channels)
        layers = {"start": (256, half, 1, 1), "cond_layer": (4096, 640, 1, 1), "end": (channels, 256, 1, 1)}
        layers |= {f"in_layers.{i}": (512, 256, 1, 3) for i in range(8)}
        layers |= {f"res_skip_layers.{i}": (512 if i < 7 else 256, 256, 1, 1) for i in range(8)}
        for layer, shape in layers.items():
            expected[f"{network}.{layer}.weight"] = shape
            expected[f"{network}.{layer}.bias"] = shape[:1]
    assert shapes == expected


@pytest.mark.usefixtures("float64")
def test_early_channels_are_the_first_of_z():
    config = dataclasses.replace(published(), n_mels=2, cond_channels=16, stack=WaveNetConfig(4, (1,)))
    model = WaveGlow(config)
    with torch.no_grad():
        for k, channels in enumerate(CHANNELS):
            model.convinv[k].weight.copy_((k + 1) * torch.eye(channels))
    z, _ = model(torch.ones(1, 256), torch.zeros(1, 2, 1))
    product = torch.arange(1.0, 13.0).cumprod(0)
    expected = torch.cat([product[3].repeat(2), product[7].repeat(2), product[11].repeat(4)])
    torch.testing.assert_close(z[0], expected[:, None].expand(8, 32))
