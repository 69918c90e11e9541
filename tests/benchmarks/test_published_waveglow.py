"""The yardstick of the speed comparisons is the same function as the model that is compared with it."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

import pytest
import torch

from vocoder.layers.stack import WaveNetConfig
from vocoder.models.waveglow_config import published

FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "published_waveglow.py"


def test_the_yardstick_is_waveglow_of_the_published_kind() -> None:
    spec = importlib.util.spec_from_file_location("published_waveglow", FILE)
    assert spec is not None
    assert spec.loader is not None
    yardstick = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(yardstick)
    torch.manual_seed(0)
    small = dataclasses.replace(published(), stack=WaveNetConfig(channels=16, dilations=(1, 2, 4, 8)))
    assert yardstick.differences(small) == pytest.approx({"z": 0, "log_det per sample": 0, "x": 0}, abs=2e-6)
