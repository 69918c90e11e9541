"""The two judges of the guard: the recogniser of conventions and the densities."""

import dataclasses
import math
from collections import Counter

import pytest
import torch

from vocoder.guard.automatic import UnsureError, recognised_config
from vocoder.guard.verdict import recognised
from vocoder.layers.recogniser import ConventionConfig, ConventionNet, Guess, mel_statistics
from vocoder.mel.config import PRESETS, preset
from vocoder.mel.conventions import SHUFFLED, Convention, convention_of, encoding_of, encodings
from vocoder.models.guard import LOST, GuardConfig, GuardModel, windows_of

NVIDIA = preset("nvidia")
CONFIG = ConventionConfig(("nvidia", "espnet", "hop128", SHUFFLED), ("ln", "log10", "linear"), hidden=8, frames=40)


def recogniser(layout=0, encoding=0, sure=9.0):
    net = ConventionNet(CONFIG).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        net.layout.bias[layout] = sure
        net.encoding.bias[encoding] = sure
    return net


SAME = {"hifigan": "nvidia", "f5-tts": "vocos", "zipvoice": "vocos", "gpt-sovits-v3": "bigvgan", "indextts2": "nemo"}
"""presets with the layout and logarithm of another preset"""


def test_presets_map_to_conventions_and_back():
    for name in PRESETS:
        convention, same = convention_of(preset(name)), SAME.get(name, name)
        assert (convention.preset, convention.mel_config) == (same, preset(same))
    for name, encoding in encodings().items():
        if encoding.fields is not None:
            config = dataclasses.replace(NVIDIA, **encoding.fields)
            assert encoding_of(config) == name
            if config.range_db is not None:
                ends = config.ref_db - config.range_db, config.ref_db, config.range_low, config.range_high
                assert encoding.words == "decibels mapped from {:g}..{:g} to {:g}..{:g}".format(*ends)
    numbers = tuple(range(1, 81))
    assert encoding_of(dataclasses.replace(NVIDIA, mean=numbers, variance=numbers)) == "statistics"
    assert encoding_of(dataclasses.replace(NVIDIA, log="db20", ref_db=3.0)) is None
    assert all(encoding_of(config) in encodings() for config in PRESETS.values())


def test_joint_probabilities_of_layout_and_encoding_sum_to_one():
    best, shares = Convention(SHUFFLED, "log10"), Counter()
    found = recogniser(layout=3, encoding=1).recognise(torch.randn(80, 50), 0.9)
    for convention, probability in found.probabilities.items():
        shares[convention.words] += probability  # frames in another order are listed once
    assert sum(shares.values()) == pytest.approx(1.0, abs=1e-5)
    assert (found.best, found.certain) == (Guess(best, found.probabilities[best]), True)
    assert [guess.probability for guess in found.likeliest] == [share for _, share in shares.most_common(3)]


@pytest.mark.parametrize(
    ("layout", "encoding", "cause", "words"),
    [
        (1, 1, "log10", "preset=espnet"),
        (1, 0, "bands", "preset=auto"),
        (0, 1, "log10", "multiply by ln(10)"),
        (2, 0, "hop", "Compute it with sr=22050, n_fft=1024, hop_length=256,"),
        (3, 0, "shuffled", "but not in this order"),
    ],
)
def test_verdicts_name_the_recognised_convention_and_the_remedy(layout, encoding, cause, words):
    verdict = recognised(recogniser(layout, encoding).recognise(torch.randn(80, 50), 0.9), NVIDIA, NVIDIA)
    assert (verdict.typical, verdict.cause) == (False, cause)
    assert words in verdict.message
    assert verdict.preset == ("espnet" if layout == 1 else None)


def test_constant_frames_at_the_beginning_are_skipped():
    seen = list[torch.Tensor]()
    found = recogniser()
    found.register_forward_pre_hook(lambda net, given: seen.append(given[0][0]))
    mel = torch.cat([torch.full((80, 30), -11.5), torch.randn(80, 100)], dim=1)
    for part, expected in ((mel, mel[:, 29:69]), (mel[:, 120:], mel[:, 120:])):
        found.recognise(part)
        torch.testing.assert_close(seen[-1], torch.from_numpy(mel_statistics(expected.numpy())))


def test_unknown_numbers_of_bands_are_explained_by_the_shape():
    with pytest.raises(UnsureError, match="knows no mels with 64 bands"):
        recognised_config(torch.zeros(64, 9), NVIDIA)
    with pytest.raises(UnsureError, match=r"with 150 bands: it looks transposed, \(frames, n_mels\)"):
        recognised_config(torch.zeros(150, 80), NVIDIA)
    own_config = dataclasses.replace(NVIDIA, name="own", n_mels=64)
    assert recognised_config(torch.zeros(64, 9), own_config) == own_config


DENSITIES = GuardConfig(("nvidia", "nvidia:time", "nvidia:shuffled"), n_mels=8, offsets=(0, 2), windows=5)
FLOOR = math.log(1e-5)


@pytest.fixture
def mel():
    return -8.0 + 3.0 * torch.rand(8, 30, generator=torch.Generator().manual_seed(4))


def test_windows_are_spread_over_the_audible_frames(mel):
    mel[:, 10:] = FLOOR
    windows = windows_of(mel, DENSITIES, FLOOR)
    expected = torch.stack([torch.cat([mel[:, start], mel[:, start + 2]]) for start in (0, 2, 4, 6, 9)])
    assert torch.equal(windows, expected)
    assert windows_of(mel[:, :2], DENSITIES, FLOOR).shape == (0, 16)
    assert windows_of(torch.full((8, 9), FLOOR), DENSITIES, FLOOR).shape == (0, 16)


def test_densities_are_normal_and_values_below_the_floor_lower_the_score(mel):
    torch.manual_seed(3)
    model = GuardModel(DENSITIES).requires_grad_(False)
    for parameter in model.densities.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    windows = windows_of(mel, DENSITIES, FLOOR)
    for score, density in zip(model.score(mel), model.densities, strict=True):
        inverse = torch.linalg.inv(density.matrix())
        normal = torch.distributions.MultivariateNormal(density.t[:, 0], inverse @ inverse.T)
        torch.testing.assert_close(score, normal.log_prob(windows).mean() / 16, atol=1e-3, rtol=0.0)
    below_floor = mel.clone()
    below_floor[:4] = FLOOR - 2.0
    low, clamped = (model.score(m) for m in (below_floor, below_floor.clamp_min(FLOOR)))
    torch.testing.assert_close(low, clamped - 0.5 * LOST, atol=1e-4, rtol=0.0)
