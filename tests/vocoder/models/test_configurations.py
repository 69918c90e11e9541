import pytest
from tiny_models import grouping_config, lapped_config, reverse_config

from vocoder.config import ConfigError
from vocoder.layers.conditioning import PitchConfig
from vocoder.layers.source import SourceConfig
from vocoder.layers.stack.wavenet import WaveNetConfig
from vocoder.models.student import StudentConfig
from vocoder.models.wavenet import WaveNetModelConfig

INVALID = [
    (reverse_config, {"blocks": 0}, "blocks must be at least 1"),
    (reverse_config, {"ahead": 5}, "ahead must be from 0 to 4 for .*, not 5"),
    (reverse_config, {"condition_ahead": 4}, "condition_ahead must be from 0 to 3, not 4"),
    (reverse_config, {"hop_length": 9}, "even hop_length, not 9"),
    (reverse_config, {"sample_rate": 7000}, "do not fit a sample_rate of 7000"),
    (lapped_config, {"group_size": 3}, "hop_length 8 must be a multiple of group_size 3"),
    (lapped_config, {"group_size": 1}, "even group_size, not 1"),
    (lapped_config, {"early_every": 2}, "early_every needs the transform 'grouping'"),
    (lapped_config, {"sample_rate": 6000}, "harmonics up to 3550.0 Hz do not fit a sample_rate of 6000 Hz"),
    (grouping_config, {"source": SourceConfig()}, "needs the lapped transform"),
    (grouping_config, {"early_size": 3}, "leave 1 channels; at least 2 must remain"),
    (grouping_config, {"cond_channels": 21}, "cond_channels 20: n_mels"),
    (grouping_config, {"upsample_kernel": 7}, "upsample_kernel must be hop_length or more, not 7"),
    (SourceConfig, {"pitch": PitchConfig(f0_max=900.0), "f_max": 800.0}, "above the highest pitch"),
    (StudentConfig, {"stacks": (WaveNetConfig(4, (1,), 3),)}, "causal"),
    (StudentConfig, {"stacks": ()}, "at least one flow"),
    (StudentConfig, {"group_size": 96}, "multiple of group_size"),
    (StudentConfig, {"filter_taps": 7}, "filter_taps"),
    (WaveNetModelConfig, {"stack": WaveNetConfig()}, "must be causal"),
    (WaveNetModelConfig, {"hop_length": 200}, "hop_length is 200, but the mel preset 'nvidia' of lpc has 256"),
]


@pytest.mark.parametrize(("make", "changes", "message"), INVALID)
def test_invalid_configurations_are_rejected(make, changes, message):
    with pytest.raises(ConfigError, match=message):
        make(**changes)
