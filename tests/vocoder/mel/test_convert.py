from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from vocoder.mel.config import MelConfig, preset
from vocoder.mel.convert import MelMismatchError, convert, differences
from vocoder.mel.spectrogram import MelSpectrogram

NVIDIA = preset("nvidia")
MEAN = tuple(np.linspace(-3.0, -1.0, 80).tolist())
VARIANCE = tuple(np.linspace(0.3, 0.9, 80).tolist())
# One filterbank and framing, and every way to write its energies down. The range is wide enough to cut nothing.
FAMILY = {
    "ln": NVIDIA,
    "log10": dataclasses.replace(NVIDIA, name="log10", log="log10"),
    "db": dataclasses.replace(NVIDIA, name="db", log="db20", ref_db=20.0),
    "range": dataclasses.replace(NVIDIA, name="range", log="db20", ref_db=60.0, range_db=160.0),
    "statistics": dataclasses.replace(NVIDIA, name="statistics", log="log10", mean=MEAN, variance=VARIANCE),
}


def loud_noise() -> torch.Tensor:
    return 0.3 * torch.randn(2, 6000, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("source", "target"), list(itertools.permutations(FAMILY, 2)))
def test_a_converted_mel_equals_the_computed_one(source: str, target: str) -> None:
    x = loud_noise()
    converted = convert(MelSpectrogram(FAMILY[source])(x), FAMILY[source], FAMILY[target])
    torch.testing.assert_close(converted, MelSpectrogram(FAMILY[target])(x), rtol=0, atol=2e-5)


@pytest.mark.parametrize(("source", "target"), list(itertools.permutations(FAMILY, 2)))
def test_there_and_back_is_the_identity(source: str, target: str) -> None:
    mel = MelSpectrogram(FAMILY[source])(loud_noise()).double()
    there = convert(mel, FAMILY[source], FAMILY[target])
    torch.testing.assert_close(convert(there, FAMILY[target], FAMILY[source]), mel, rtol=0, atol=1e-12)


def test_a_higher_floor_is_that_of_the_target() -> None:
    x = torch.cat([loud_noise(), torch.zeros(2, 4000)], dim=1) * torch.logspace(0, -6, 10000)
    low = dataclasses.replace(NVIDIA, name="low", floor=1e-10)
    expected = MelSpectrogram(NVIDIA)(x)
    assert (expected == expected.min()).float().mean() > 0.1  # the floor matters in this test
    torch.testing.assert_close(convert(MelSpectrogram(low)(x), low, NVIDIA), expected, rtol=0, atol=1e-5)


def test_energies_at_a_higher_floor_stay_there() -> None:
    low = dataclasses.replace(NVIDIA, name="low", log="log10", floor=1e-10)
    silence = MelSpectrogram(NVIDIA).silence()[:, None]
    torch.testing.assert_close(convert(silence, NVIDIA, low), torch.full((80, 1), -5.0))


def test_a_range_cuts_as_the_published_one_does() -> None:
    unit = dataclasses.replace(
        preset("r9y9"), name="unit", power=2.0, log="db20", floor=1e-4, ref_db=20.0, range_db=100.0
    )
    source = dataclasses.replace(unit, name="ln", log="ln", ref_db=0.0, range_db=None)
    x = loud_noise() * torch.logspace(-3, 1.5, 6000)
    expected = MelSpectrogram(unit)(x)
    assert expected.min() == 0.0
    assert expected.max() == 1.0
    torch.testing.assert_close(convert(MelSpectrogram(source)(x), source, unit), expected, atol=1e-5, rtol=0)


def test_decibels_around_zero_convert_to_logarithms_and_back() -> None:
    source = preset("tacotron2-tf")
    log10 = dataclasses.replace(source, name="x", log="log10", ref_db=0.0, range_db=None, range_low=0.0, range_high=1.0)
    x = loud_noise() * torch.logspace(-1.5, -0.5, 6000)
    mel = MelSpectrogram(source)(x)
    assert -4.0 <= mel.min() < 0.0 < mel.max() <= 4.0
    torch.testing.assert_close(convert(mel, source, log10), MelSpectrogram(log10)(x), atol=1e-5, rtol=0)
    torch.testing.assert_close(convert(convert(mel, source, log10), log10, source), mel, atol=1e-5, rtol=0)


def test_arrays_and_single_mels_come_back_as_they_were() -> None:
    mel = MelSpectrogram(NVIDIA)(loud_noise())
    expected = convert(mel, NVIDIA, FAMILY["log10"])[0].numpy()
    array = convert(mel[0].numpy(), NVIDIA, FAMILY["log10"])
    assert isinstance(array, np.ndarray)
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, expected)


def test_a_name_is_no_difference() -> None:
    assert differences(NVIDIA, dataclasses.replace(NVIDIA, name="tacotron2")) == ()


@pytest.mark.parametrize(
    ("source", "target", "named"),
    [
        (
            "hifigan",
            "nvidia",
            ["centre is 'same', not 'reflect' (frames stand at", "magnitude_epsilon is 1e-09, not 0.0"],
        ),
        ("espnet", "r9y9", ["f_min is 80.0, not 125.0 (the bands are others)"]),
        (
            "vocos",
            "nvidia",
            [
                "sample_rate is 24000, not 22050",
                "n_mels is 100, not 80",
                "f_max is 12000.0, not 8000.0",
                "mel_scale is 'htk', not 'slaney'",
                "mel_norm is 'none', not 'slaney'",
            ],
        ),
    ],
)
def test_a_refusal_names_every_difference(source: str, target: str, named: list[str]) -> None:
    with pytest.raises(MelMismatchError) as caught:
        convert(torch.zeros(preset(source).n_mels, 5), preset(source), preset(target))
    text = str(caught.value)
    assert text.startswith(f"a mel of '{source}' cannot be converted exactly to '{target}': ")
    assert all(part in text for part in named)
    assert len(caught.value.differences) == len(named)


def test_sums_of_magnitudes_are_no_sums_of_powers() -> None:
    with pytest.raises(MelMismatchError, match=r"power is 1\.0, not 2\.0 \(sums of magnitudes"):
        convert(torch.zeros(80, 5), NVIDIA, dataclasses.replace(NVIDIA, name="power", power=2.0))


def test_every_field_either_converts_or_is_refused() -> None:
    converts = {"log", "floor", "ref_db", "range_db", "range_low", "range_high", "mean", "variance"}
    other = dataclasses.replace(
        NVIDIA,
        name="other",
        sample_rate=24000,
        n_fft=2048,
        win_length=1200,
        hop_length=300,
        n_mels=100,
        f_min=1.0,
        f_max=9000.0,
        centre="same",
        power=2.0,
        magnitude_epsilon=1e-6,
        mel_scale="htk",
        mel_norm="none",
    )
    named = {text.split(" is ")[0] for text in differences(NVIDIA, other)}
    assert named | converts | {"name"} == {field.name for field in dataclasses.fields(MelConfig)}


@pytest.mark.parametrize("shape", [(5, 80), (80,), (1, 2, 80, 5)])
def test_a_wrong_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"is \(80, frames\) or \(B, 80, frames\), not "):
        convert(torch.zeros(shape), NVIDIA, FAMILY["log10"])
