"""A model directory that the tests of this folder share."""

from __future__ import annotations

import pytest
import torch
from tiny_models import lapped_config

from vocoder.checkpoint import save_model
from vocoder.mel.config import preset
from vocoder.models.waveglow import WaveGlow


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """The directory of a tiny model of random weights, whose samples are well within full scale."""
    torch.manual_seed(5)
    config = lapped_config(n_mels=80, hop_length=256, sample_rate=22050, group_size=256, flows=1, cond_channels=4)
    waveglow = WaveGlow(config)
    assert waveglow.envelope is not None
    waveglow.envelope.set_log_scale(torch.zeros(256, 80, 3), torch.full((256,), -4.0))
    quality = {"stoi": 0.9125, "voices": {"one": {"pesq": 2.5, "utterances": 3}}}
    return save_model(tmp_path_factory.mktemp("models") / "tiny", waveglow, preset("nvidia"), quality=quality)
