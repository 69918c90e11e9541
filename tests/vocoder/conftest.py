"""Let the tests of this folder share `tiny_models`, and compute in float64 where they ask for it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from vocoder.checkpoint import save_model
from vocoder.mel.config import preset
from vocoder.models.waveglow import WaveGlow

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def float64():
    """Make float64 the type of new tensors, so that mathematics is compared to many digits."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """The directory of a tiny model of random weights, whose samples are well within full scale."""
    from tiny_models import lapped_config

    torch.manual_seed(5)
    config = lapped_config(n_mels=80, hop_length=256, sample_rate=22050, group_size=256, flows=1, cond_channels=4)
    waveglow = WaveGlow(config)
    assert waveglow.envelope is not None
    waveglow.envelope.set_log_scale(torch.zeros(256, 80, 3), torch.full((256,), -4.0))
    quality = {"stoi": 0.9125, "voices": {"one": {"pesq": 2.5, "utterances": 3}}}
    return save_model(tmp_path_factory.mktemp("models") / "tiny", waveglow, preset("nvidia"), quality=quality)
