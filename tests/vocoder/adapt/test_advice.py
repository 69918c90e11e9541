"""Advice names presets that the model takes, and shipped models for the others."""

import pytest

from vocoder.adapt.path import bands_hint, pass_one_of
from vocoder.mel.config import preset

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
        ((80, 437), 40, OF_80),
        ((437, 80), 40, f"{TURNED}; {OF_80}"),
        ((128, 437), 80, LIBROSA),
        ((437, 128), 80, f"{TURNED}; {LIBROSA}"),
    ],
)
def test_the_likely_reason_is_told_by_the_shape(shape, n_mels, hint):
    assert bands_hint(shape, n_mels, preset("nvidia")) == hint


TAKE_REVERSE = "take the shipped model 'reverse' for presets of 80 bands: nvidia and others"


@pytest.mark.parametrize(
    ("shape", "hint"),
    [
        ((80, 437), TAKE_REVERSE),
        ((437, 80), f"{TURNED}; {TAKE_REVERSE}"),
        ((80, 100), TURNED),
    ],
)
def test_no_preset_is_advised_that_the_model_refuses(shape, hint):
    vocos = preset("vocos")
    assert bands_hint(shape, 100, vocos) == hint
    assert bands_hint((100, 437), 80, vocos).startswith(
        "presets of 100 bands are vocos, f5-tts, zipvoice, bigvgan, gpt-sovits-v3: "
    )
    assert pass_one_of(["zipvoice", "bigvgan"], vocos) == "pass preset=zipvoice or bigvgan"
    assert pass_one_of(["bigvgan", "fireredtts"], vocos) == (
        "pass preset=bigvgan, or take the shipped model 'reverse' for fireredtts"
    )
    assert pass_one_of(["nvidia"], vocos) == "take the shipped model 'reverse' for nvidia"
