"""The student of ClariNet, which directories of version 0.1 may hold: both ways agree."""

from __future__ import annotations

import torch

from vocoder.layers.conditioning import UpsamplingConfig
from vocoder.layers.stack import PublishedStackConfig
from vocoder.models.published_config import PublishedStudentConfig
from vocoder.models.published_student import PublishedStudent


def test_audio_goes_back_to_its_noise_sample_by_sample() -> None:
    torch.manual_seed(0)
    stack = PublishedStackConfig(6, 5, 7, dilations=(1, 2), kernel_size=3, front_kernel=4, front_relu=True)
    model = PublishedStudent(PublishedStudentConfig(stacks=(stack,) * 3, upsampling=UpsamplingConfig()))
    mel, z = torch.rand(2, 80, 2), torch.randn(2, 1, 512)
    with torch.no_grad():
        x, log_det = model.inverse(z, mel)
    again, back = model(x[:, :256], mel[:, :, :1])
    assert float(x.std()) > 0.03
    torch.testing.assert_close(again[:, :, 1:200], z[:, :, 1:200], rtol=0, atol=1e-2)
    assert torch.isfinite(log_det + back).all()
