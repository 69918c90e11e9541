import dataclasses
import itertools
import pickle

import numpy as np
import pytest
import torch

from vocoder.mel.config import preset
from vocoder.mel.convert import MelMismatchError, convert
from vocoder.mel.spectrogram import MelSpectrogram

NVIDIA = preset("nvidia")
MEAN = tuple(np.linspace(-3.0, -1.0, 80).tolist())
VARIANCE = tuple(np.linspace(0.3, 0.9, 80).tolist())
RANGE = {"range_low": -4.0, "range_high": 4.0}
# One filterbank and framing, with every encoding of its energies. The range is wide enough to clip nothing.
FAMILY = {
    "ln": NVIDIA,
    "log10": dataclasses.replace(NVIDIA, name="log10", log="log10"),
    "db": dataclasses.replace(NVIDIA, name="db", log="db20", ref_db=20.0),
    "range": dataclasses.replace(NVIDIA, name="range", log="db20", ref_db=60.0, range_db=160.0, **RANGE),
    "statistics": dataclasses.replace(NVIDIA, name="statistics", log="log10", mean=MEAN, variance=VARIANCE),
}


def loud_noise():
    return 0.3 * torch.randn(2, 6000, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("source", "target"), list(itertools.pairwise([*FAMILY, "ln"])))
def test_a_converted_mel_equals_a_computed_one_and_converts_back(source, target):
    x = loud_noise()
    mel, expected = (MelSpectrogram(FAMILY[name])(x) for name in (source, target))
    torch.testing.assert_close(convert(mel, FAMILY[source], FAMILY[target]), expected, rtol=0, atol=2e-5)
    back = convert(convert(mel.double(), FAMILY[source], FAMILY[target]), FAMILY[target], FAMILY[source])
    torch.testing.assert_close(back, mel.double(), rtol=0, atol=1e-12)
    assert torch.equal(convert(mel[0], FAMILY[source], FAMILY[target]), convert(mel, FAMILY[source], FAMILY[target])[0])


def test_conversion_raises_values_to_the_floor_of_the_target():
    x = torch.cat([loud_noise(), torch.zeros(2, 4000)], dim=1) * torch.logspace(0, -6, 10000)
    low = dataclasses.replace(NVIDIA, name="low", floor=1e-10)
    expected = MelSpectrogram(NVIDIA)(x)
    assert (expected == expected.min()).float().mean() > 0.1  # the floor matters in this test
    torch.testing.assert_close(convert(MelSpectrogram(low)(x), low, NVIDIA), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("source", "target", "fields", "words"),
    [
        ("hifigan", "nvidia", "centre magnitude_epsilon", "centre is 'same', not 'reflect' (frames are at"),
        ("espnet", "r9y9", "f_min", "f_min is 80.0, not 125.0 (the bands differ)"),
        ("vocos", "nvidia", "sample_rate n_mels f_max mel_scale mel_norm", "mel_norm is 'none', not 'slaney'"),
    ],
)
def test_mismatches_list_every_difference(source, target, fields, words):
    with pytest.raises(MelMismatchError) as caught:
        convert(torch.zeros(preset(source).n_mels, 5), preset(source), preset(target))
    start = f"compute the mel with the mel config '{target}', because '{source}' mels cannot be converted exactly"
    assert (text := str(caught.value)).startswith(start)
    assert [each.split()[0] for each in pickle.loads(pickle.dumps(caught.value)).differences] == fields.split()
    assert all(difference in text for difference in (*caught.value.differences, words))
