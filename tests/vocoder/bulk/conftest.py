from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from vocoder.checkpoint import save_model
from vocoder.mel.config import preset
from vocoder.models.waveglow import WaveGlow
from vocoder.models.waveglow_config import WaveGlowConfig

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model of random weights that takes several mels in a row."""
    from tiny_models import lapped_config

    torch.manual_seed(5)
    config = lapped_config(n_mels=80, hop_length=256, sample_rate=22050, group_size=256, flows=1, cond_channels=4)
    assert isinstance(config, WaveGlowConfig)
    waveglow = WaveGlow(config)
    assert waveglow.envelope is not None
    waveglow.envelope.set_log_scale(torch.zeros(256, 80, 3), torch.full((256,), -4.0))
    return save_model(tmp_path_factory.mktemp("models") / "tiny", waveglow, preset("nvidia"))


@pytest.fixture
def write_mels(tmp_path: Path) -> Callable[..., Path]:
    """Write mels of given lengths to a folder, as 00.npy, 01.npy and so on."""

    def write(*lengths: int, folder: str = "mels") -> Path:
        (tmp_path / folder).mkdir(exist_ok=True)
        for i, frames in enumerate(lengths):
            mel = np.random.default_rng(i).normal(-5.0, 1.5, (80, frames)).astype(np.float32).clip(-11.5, None)
            np.save(tmp_path / folder / f"{i:02}.npy", mel)
        return tmp_path / folder

    return write
