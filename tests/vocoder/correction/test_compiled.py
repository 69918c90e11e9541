import copy
import dataclasses
import pickle

import pytest
import torch

from vocoder.correction.chains import Order
from vocoder.correction.correction import CompiledCorrection, Correction
from vocoder.correction.plain import PlainCorrection
from vocoder.mel.config import preset

NVIDIA = preset("nvidia")
CONFIGS = [
    NVIDIA,
    preset("hifigan"),
    dataclasses.replace(NVIDIA, name="short window", win_length=800),
    dataclasses.replace(NVIDIA, name="short hop", hop_length=128),
    dataclasses.replace(NVIDIA, name="all bins heard", f_max=11025.0),
    dataclasses.replace(NVIDIA, name="short", n_fft=512, win_length=512, n_mels=40),
    dataclasses.replace(NVIDIA, name="long", n_fft=2048, win_length=2048, hop_length=512),
    dataclasses.replace(NVIDIA, name="tiny", n_fft=128, win_length=128, hop_length=16, n_mels=13),
]


def chains(order, count, bands=80):
    audio = 0.1 * torch.randn(count, (order.slots + 19) * order.hop_length)
    frames = 19 + order.corrections
    return audio, torch.randn(count, frames, bands) - 4, (torch.rand(count, frames) > 0.1).float()


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
@pytest.mark.parametrize("corrections", [1, 5])
def test_it_is_the_plain_one(config, corrections):
    plain, order = PlainCorrection(config), Order.of(config, corrections)
    compiled = CompiledCorrection.of(plain)
    given = chains(order, 3, config.n_mels)
    made, expected = compiled(order, -3, *given), plain(order, -3, *given)
    torch.testing.assert_close(made, expected, atol=1e-5 * max(1.0, 3 * float(expected.abs().max())), rtol=0)
    assert not torch.equal(made, given[0])


@pytest.mark.parametrize("count", [1, 7, 16])
def test_chains_do_not_see_their_neighbours(count):
    order, compiled = Order.of(NVIDIA, 3), CompiledCorrection.of(PlainCorrection(NVIDIA))
    audio, target, heard = chains(order, count)
    made = compiled(order, 5, audio, target, heard)
    shared = audio.flatten().unfold(0, audio.shape[1], 512)[:count]  # rows may overlap in memory
    assert torch.equal(compiled(order, 0, shared, target, heard), compiled(order, 0, shared.clone(), target, heard))
    for i in range(0, count, 5):
        assert torch.equal(made[i : i + 1], compiled(order, 5, audio[i : i + 1], target[i : i + 1], heard[i : i + 1]))


def test_audio_of_another_kind_takes_the_plain_way():
    config = dataclasses.replace(NVIDIA, name="600", n_fft=600, win_length=600, hop_length=150)
    few = dataclasses.replace(NVIDIA, name="five bands", n_fft=64, win_length=64, hop_length=16, n_mels=5)
    others = [(Correction(config, 2), torch.float32), (Correction(few, 2), torch.float32)]
    for correction, dtype in (*others, (Correction(NVIDIA, 2).double(), torch.float64)):
        x = 0.1 * torch.randn(1, 40 * correction.config.hop_length, dtype=dtype)
        made = correction(x, torch.zeros(1, correction.config.n_mels, 40, dtype=dtype))
        assert made.dtype == dtype
        assert not torch.equal(made, x)


def test_a_correction_that_was_used_can_be_copied_and_kept():
    correction, x, mel = Correction(NVIDIA, 2), torch.randn(1, 8192), torch.zeros(1, 80, 32)
    made = correction(x, mel)
    for other in (copy.deepcopy(correction), pickle.loads(pickle.dumps(correction))):
        assert torch.equal(other(x, mel), made)
