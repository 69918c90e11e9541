import dataclasses

import pytest

from vocoder.config import ConfigError
from vocoder.mel.config import ALIASES, PRESETS, canonical, preset
from vocoder.mel.values import bands_hint


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("FastSpeech2", ": its mels are 'espnet' as a rule, see docs/acoustic-models.md; known: nvidia"),
        ("GPT-SoVITS", ": its mels are 'gpt-sovits-v4' as a rule"),
        ("hifigam", "; did you mean 'hifigan'. known: nvidia"),
        ("f5", "; did you mean 'f5-tts'. known"),
        ("vocos-mel-24khz", "; did you mean 'vocos'. known"),
        ("Cosy", "; did you mean 'cosyvoice2' or 'cosyvoice3' or 'cosyvoice'. known"),
        ("something", "; known"),
    ],
)
def test_an_unknown_preset_is_answered_with_what_may_be_meant(name, hint):
    with pytest.raises(ConfigError, match=f"no mel preset '{name}'{hint}"):
        preset(name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hop_length": 0}, "hop_length must be at least 1 and at most 32768, not 0"),
        ({"n_fft": 1023, "win_length": 1023}, "n_fft must be even"),
        ({"win_length": 2048}, "hop_length <= win_length <= n_fft must hold, not .256, 2048, 1024"),
        ({"f_max": 12000.0}, "f_min < f_max <= sample_rate / 2 must hold"),
        ({"f_min": 8000.0}, "f_min < f_max"),
        ({"power": 1.5}, "power must be 1"),
        ({"floor": 0.0}, "floor must be above 0 and at most 1, not 0.0"),
        ({"centre": "left"}, "centre must be 'reflect' or 'same'"),
        ({"centre": "same", "hop_length": 255}, "needs an even hop_length"),
        ({"log": "log2"}, "log must be"),
        ({"ref_db": 20.0}, "belong to log 'db20'"),
        ({"log": "db20", "range_db": -1.0}, "range_db must be above 0"),
        ({"range_low": -4.0, "range_high": 4.0}, "range_low and range_high need range_db"),
        ({"log": "db20", "range_db": 100.0, "range_low": 1.0}, "range_low < range_high must hold"),
        ({"mel_scale": "bark"}, "mel_scale must be"),
        ({"mel_norm": "area"}, "mel_norm must be"),
        ({"magnitude_epsilon": -1.0}, "magnitude_epsilon must be at least 0"),
        ({"mean": (0.0,) * 80}, "come together"),
        ({"mean": (0.0,) * 79, "variance": (1.0,) * 80}, "mean must hold 80 values"),
        ({"mean": (float("nan"),) * 80, "variance": (1.0,) * 80}, "mean must be finite"),
        ({"mean": (0.0,) * 80, "variance": (0.0,) * 80}, "variance must be positive"),
    ],
)
def test_a_contradiction_is_named(changes, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(preset("nvidia"), **changes)


def test_every_alias_stands_for_a_preset_and_hides_none():
    assert set(ALIASES.values()) <= set(PRESETS)
    assert not set(ALIASES) & set(PRESETS)
    for name, stands_for in ALIASES.items():
        assert canonical(name, PRESETS) == stands_for


def test_case_and_punctuation_do_not_matter():
    assert canonical("Index TTS2", PRESETS) == "indextts2"
    assert canonical("MATCHA_TTS", PRESETS) == "hifigan"
    assert canonical("---", PRESETS) is None


TURNED = "it looks transposed, (frames, bands) in place of (n_mels, frames)"
NAMES = "vocos, f5-tts, zipvoice, bigvgan, gpt-sovits-v3, gpt-sovits-v4, fireredtts"
OF_100 = f"presets of 100 bands are {NAMES}: pass preset=NAME; the shipped model 'reverse-24k' has vocos for its own"
OF_80 = (
    "presets of 80 bands are nvidia and others: pass preset=NAME; the shipped model 'reverse' has nvidia for its own"
)
LIBROSA = "128 bands are librosa's default: compute 80, with the other settings of the model too"


@pytest.mark.parametrize(
    ("shape", "n_mels", "hint"),
    [
        ((150, 80), 80, TURNED),
        ((100, 80), 80, f"{TURNED}; or its 100 rows are bands: such presets are {NAMES}"),
        ((2, 150, 80), 80, TURNED),
        ((150, 100), 80, f"{TURNED}; {OF_100}"),
        ((100, 437), 80, OF_100),
        ((79, 437), 80, ""),
        ((80, 437), 100, OF_80),
        ((437, 80), 100, f"{TURNED}; {OF_80}"),
        ((128, 437), 80, LIBROSA),
        ((437, 128), 80, f"{TURNED}; {LIBROSA}"),
    ],
)
def test_the_likely_reason_is_told_by_the_shape(shape, n_mels, hint):
    assert bands_hint(shape, n_mels) == hint
