from __future__ import annotations

import json

import pytest
from tiny_models import TINY_CONFIGS, grouping_config, lapped_config

from vocoder.config import ConfigError, from_dict, to_dict
from vocoder.layers.source.pitch import PitchConfig
from vocoder.models.waveglow_config import SourceConfig, WaveGlowConfig, published

CONFIGS = {"default": WaveGlowConfig(), "published": published()} | {
    name: make() for name, make in TINY_CONFIGS.items()
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_survives_json(name):
    assert from_dict(WaveGlowConfig, json.loads(json.dumps(to_dict(CONFIGS[name])))) == CONFIGS[name]


def test_early_outputs_leave_the_rest():
    assert published().remaining_channels == 4
    assert grouping_config().remaining_channels == 3
    assert lapped_config().remaining_channels == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"group_size": 0}, "group_size must be at least 1, not 0"),
        ({"n_mels": 0}, "n_mels must be at least 1"),
        ({"cond_channels": 0}, "cond_channels must be at least 1"),
        ({"group_size": 3}, "hop_length 8 must be a multiple of group_size 3"),
        ({"group_size": 1}, "even group_size, not 1"),
        ({"early_every": 2}, "early outputs belong to grouping"),
        ({"sample_rate": 6000}, "harmonics up to 3550.0 Hz do not fit a sample_rate of 6000 Hz"),
        ({"flows": 0}, "at least one flow"),
        ({"sigma": -0.1}, "sigma of 0 or more"),
    ],
)
def test_a_lapped_configuration_that_cannot_be_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        lapped_config(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": SourceConfig()}, "needs the lapped transform"),
        ({"early_size": 0}, "early_size must be at least 1"),
        ({"early_size": 3}, "leave 1 channels; at least 2 must remain"),
        ({"cond_channels": 21}, "cond_channels 20: n_mels"),
        ({"upsample_kernel": 7}, "upsample_kernel must be hop_length or more, not 7"),
    ],
)
def test_a_grouping_configuration_that_cannot_be_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        grouping_config(**changes)


def test_a_source_below_the_highest_pitch_is_refused():
    with pytest.raises(ConfigError, match="must lie above the highest pitch"):
        SourceConfig(PitchConfig(f0_max=900.0), f_max=800.0)
