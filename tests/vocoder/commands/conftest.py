from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vocoder.checkpoint import save_model
from vocoder.layers.source.pitch import PitchConfig
from vocoder.layers.stack import WaveNetConfig
from vocoder.mel.config import preset
from vocoder.models.waveglow import WaveGlow
from vocoder.models.waveglow_config import SourceConfig, WaveGlowConfig


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model of random weights whose samples are well within full scale."""
    torch.manual_seed(5)
    source = SourceConfig(PitchConfig(channels=8))
    config = WaveGlowConfig(flows=2, cond_channels=8, stack=WaveNetConfig(channels=8, dilations=(1, 2)), source=source)
    waveglow = WaveGlow(config)
    torch.nn.init.normal_(waveglow.get_parameter("couplings.0.network.end.weight"), std=0.05)
    assert waveglow.envelope is not None
    waveglow.envelope.set_log_scale(torch.zeros(256, 80, 3), torch.full((256,), -4.0))
    quality = {"stoi": 0.9125, "voices": {"one": {"pesq": 2.5, "utterances": 3}}}
    path = tmp_path_factory.mktemp("models") / "tiny"
    return save_model(path, waveglow, preset("nvidia"), quality=quality)
