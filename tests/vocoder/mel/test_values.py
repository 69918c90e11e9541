import pytest

from vocoder.mel.values import bands_hint

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
