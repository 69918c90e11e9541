from __future__ import annotations

import dataclasses

import pytest
import torch
from vocoder.layers.mel_consistency import MelConsistency

from vocoder.layers import mel_consistency
from vocoder.layers.correction_kernel import BandTable, correction_kernel
from vocoder.mel.config import preset

FRAMES = 9


@pytest.fixture
def kernel():
    found = correction_kernel()
    assert found is not None
    return found


def configs():
    nvidia = preset("nvidia")
    yield nvidia
    yield preset("hifigan")
    yield dataclasses.replace(nvidia, name="short window", win_length=800)
    yield dataclasses.replace(nvidia, name="short hop", hop_length=128)


@pytest.mark.parametrize("config", list(configs()), ids=lambda config: config.name)
@pytest.mark.parametrize("frames", [FRAMES, FRAMES + 1, 40])
def test_compiled_steps_are_the_plain_ones(config, frames, monkeypatch):
    x = 0.1 * torch.randn(2, frames * config.hop_length)
    mel = torch.randn(2, config.n_mels, frames) - 4
    consistency = MelConsistency(config, 5)
    made = consistency(x, mel)
    monkeypatch.setattr(mel_consistency, "correction_kernel", lambda: None)
    # Each bold step makes rounding 1.75 times as large; how much there is depends on the processor.
    torch.testing.assert_close(made, consistency(x, mel), atol=5e-6, rtol=0)
    assert not torch.equal(made, x)


def test_frames_are_mirrored_around_both_ends(kernel):
    x, window = torch.randn(2, 20), torch.rand(8)
    mirrored = torch.nn.functional.pad(x[:, None], (5, 5), mode="reflect")[:, 0].unfold(1, 8, 3) * window
    torch.testing.assert_close(kernel.windowed(x, window, -5, 3, mirrored.shape[1]), mirrored)


@pytest.mark.parametrize("name", ["nvidia", "hifigan", "nemo"])
def test_a_table_holds_the_whole_filterbank(name):
    consistency = MelConsistency(preset(name), 1)
    bank, spread = consistency.filterbank, consistency.spread
    table = BandTable.of(bank, spread)
    assert table is not None
    rebuilt, shared = torch.zeros_like(bank), torch.zeros(table.bands + 1, bank.shape[1])
    for m, (first, stop, at) in enumerate(table.ends.t().tolist()):
        rebuilt[m, first:stop] = table.weights[at : at + stop - first]
    for k, place in enumerate(table.place.tolist()):
        shared[place : place + 2, k] = table.shares[:, k]
    assert torch.equal(rebuilt, bank)
    assert torch.equal(shared[:-1], spread)


def test_bins_in_three_bands_have_no_table():
    bank = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [0.0, 1.0, 1.0]])
    assert BandTable.of(bank, bank) is None


def test_spectra_are_moved_towards_the_target_and_the_last_frame_as_its_neighbour(kernel):
    consistency = MelConsistency(preset("nvidia"), 1)
    table = BandTable.of(consistency.filterbank, consistency.spread)
    assert table is not None
    spectrum, target = torch.randn(2, 19, 513, dtype=torch.complex64), torch.randn(2, 18, 80)
    own = (spectrum.abs() @ consistency.filterbank.T).clamp_min(1e-5).log()
    difference = (target - own[:, :18]).clamp(-3, 3)
    difference = torch.cat([difference, difference[:, -1:]], dim=1)
    expected = spectrum * torch.exp((1.75 * difference).clamp(-4, 4) @ consistency.spread)
    kernel.filter(spectrum, target, table, 1e-5, 1.75)
    torch.testing.assert_close(spectrum, expected, rtol=2e-5, atol=1e-5)


def test_frames_that_lie_outside_add_what_lies_inside(kernel):
    frames, window, share = torch.randn(1, 3, 8), torch.rand(8), torch.rand(10)
    x, before = torch.randn(1, 10), torch.randn(1, 10)
    total = torch.zeros(1, 30)
    for m, start in enumerate((-5, 1, 7)):
        total[:, 10 + start : 18 + start] += frames[:, m] * window
    expected = total[:, 10:20] * share + 0.3 * (x - before)
    found = kernel.combined(frames, window, share, x, before, 0.3, range(-5, 13, 6))
    torch.testing.assert_close(found, expected)


def test_what_is_no_number_stays_none():
    x = torch.full((1, 4096), torch.nan)
    assert MelConsistency(preset("nvidia"), 2)(x, torch.zeros(1, 80, 16)).isnan().all()


def test_gradients_take_the_plain_way():
    x = (0.1 * torch.randn(1, 4096)).requires_grad_()
    MelConsistency(preset("nvidia"), 2)(x, torch.zeros(1, 80, 16)).sum().backward()
    assert x.grad is not None
    assert (x.grad != 0).any()
