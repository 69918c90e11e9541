"""The yardstick of the speed comparisons is the same function as the model that is compared with it."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from benchmarks.published_waveglow import differences
from vocoder.layers.stack import WaveNetConfig
from vocoder.models.waveglow_config import published


def test_the_yardstick_is_waveglow_of_the_published_kind() -> None:
    torch.manual_seed(0)
    small = dataclasses.replace(published(), stack=WaveNetConfig(channels=16, dilations=(1, 2, 4, 8)))
    assert differences(small) == pytest.approx({"z": 0, "log_det per sample": 0, "x": 0}, abs=2e-6)
