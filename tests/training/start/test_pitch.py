"""A pitch network by itself: what is written is read, models give theirs, and what is wrong is said."""

from __future__ import annotations

import json

import pytest
import torch

from training.start.pitch import PitchModel, load_pitch, save_pitch
from vocoder.checkpoint import CheckpointError
from vocoder.config import ConfigError
from vocoder.layers.source.pitch import PitchConfig, PitchNet

MODEL = PitchModel(n_mels=5, pitch=PitchConfig(channels=3, layers=2, bins=7, ahead=1))


def test_what_is_written_is_read(tmp_path):
    net = PitchNet(5, MODEL.pitch)
    save_pitch(tmp_path / "net", net, MODEL, {"data": []})
    read = load_pitch(str(tmp_path / "net"))
    assert read.config == MODEL.pitch
    assert load_pitch("reverse").config.ahead == 3  # a model gives its own
    mel = torch.randn(1, 5, 9)
    for ours, theirs in zip(net(mel), read(mel), strict=True):
        assert torch.equal(ours, theirs)


def test_refusals(tmp_path):
    with pytest.raises(CheckpointError):
        load_pitch(str(tmp_path / "nothing"))
    with pytest.raises(ConfigError, match="holds no pitch network"):
        load_pitch("wavenet")
    save_pitch(tmp_path, PitchNet(5, MODEL.pitch), MODEL, {})
    config = json.loads((tmp_path / "config.json").read_text())
    config["architecture"]["pitch"]["channels"] = 4
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="holds no pitch network"):
        load_pitch(str(tmp_path))
