"""Correction towards a mel: what it changes, what it leaves, how far it reaches."""

import pytest
import torch
from vocoder.layers.correction_pace import Pace, paces
from vocoder.layers.mel_consistency import MelConsistency

from vocoder.config import ConfigError
from vocoder.mel.config import preset
from vocoder.mel.spectrogram import MelSpectrogram

FRAMES = 60


@pytest.fixture(params=["nvidia", "hifigan"])
def config(request):
    return preset(request.param)


def _speechlike(config, seed):
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(2, FRAMES * config.hop_length, generator=generator)
    loudness = torch.rand(2, FRAMES, generator=generator).repeat_interleave(config.hop_length, dim=1)
    return 0.1 * noise * loudness


def test_audio_that_has_its_mel_already_stays(config):
    x = _speechlike(config, 0)
    mel = MelSpectrogram(config)(x)[:, :, :FRAMES]
    corrected = MelConsistency(config, 3)(x, mel)
    torch.testing.assert_close(corrected, x, atol=2e-5, rtol=0)


def test_steps_are_bold_until_the_last_one_on_each_grid():
    assert [len(paces(steps)) for steps in (0, 1, 2, 3, 12)] == [0, 1, 2, 3, 12]
    *bold, last_but_one, last = paces(12)
    assert {pace.relaxation for pace in bold} == {1.75}
    assert bold[0].momentum == 0.0  # there is no move before it
    assert last_but_one.relaxation < 1.2 > last.relaxation
    assert paces(1) == (last,)


@pytest.mark.parametrize("steps", [3, 4, 8, 20])
def test_bold_steps_come_closer_than_plain_ones(config, steps):
    target = MelSpectrogram(config)(_speechlike(config, 1))[:, :, :FRAMES]
    distances = []
    for chosen in (paces(steps), (Pace(1.0, 0.0),) * steps):
        consistency = MelConsistency(config, steps)
        consistency.paces = chosen
        own = MelSpectrogram(config)(consistency(_speechlike(config, 2), target))[:, :, :FRAMES]
        distances.append(float((own - target).abs().mean()))
    assert distances[0] < distances[1]


def test_every_step_brings_the_mel_closer(config):
    extract = MelSpectrogram(config)
    target = extract(_speechlike(config, 1))[:, :, :FRAMES]
    x = _speechlike(config, 2)
    distances = []
    for steps in (0, 1, 2, 4, 8, 12, 20, 40):
        own = extract(MelConsistency(config, steps)(x, target))[:, :, :FRAMES]
        distances.append(float((own - target).abs().mean()))
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 0.6 * distances[0]


def test_a_gain_is_found_exactly(config):
    x = _speechlike(config, 3)
    mel = MelSpectrogram(config)(2 * x)[:, :, :FRAMES]
    corrected = MelConsistency(config, 8)(x, mel)
    inside = slice(config.n_fft, -config.n_fft)
    below_8k = (torch.fft.rfftfreq(x[0, inside].numel(), 1 / config.sample_rate) < 7500).float()
    ratio = (torch.fft.rfft(corrected[:, inside]) * below_8k).abs().sum() / (
        torch.fft.rfft(x[:, inside]) * below_8k
    ).abs().sum()
    assert float(ratio) == pytest.approx(2.0, rel=1e-2)


@pytest.mark.parametrize("steps", [1, 2, 6])
def test_context_is_where_the_influence_ends(config, steps):
    consistency = MelConsistency(config, steps)
    x, other = _speechlike(config, 4)[:1], _speechlike(config, 5)[:1]
    mel = MelSpectrogram(config)(_speechlike(config, 6)[:1])[:, :, :FRAMES]
    place = 30
    changed = x.clone()
    changed[:, place * config.hop_length : (place + 1) * config.hop_length] = other[:, : config.hop_length]
    changed_mel = mel.clone()
    changed_mel[:, :, place] += 1.0
    moved = (consistency(changed, changed_mel) - consistency(x, mel)).abs()[0]
    frames = moved.reshape(FRAMES, config.hop_length).amax(dim=1)
    first, last = place - consistency.context, place + consistency.context
    assert float(frames[:first].max()) == 0
    assert float(frames[last + 1 :].max()) == 0
    assert float(frames[first + steps]) > 0  # the windows vanish towards their ends


def test_gradients_are_finite_in_silence(config):
    x = torch.zeros(1, FRAMES * config.hop_length, requires_grad=True)
    mel = MelSpectrogram(config)(_speechlike(config, 7)[:1])[:, :, :FRAMES]
    MelConsistency(config, 2)(x, mel).square().sum().backward()
    assert x.grad is not None
    assert bool(torch.isfinite(x.grad).all())


@pytest.mark.parametrize("name", ["espnet", "r9y9", "tacotron2-tf"])
def test_other_conventions_are_refused_unless_nothing_is_to_be_done(name):
    with pytest.raises(ConfigError, match=name):
        MelConsistency(preset(name), 1)
    x = torch.randn(1, 2560)
    assert MelConsistency(preset(name), 0)(x, torch.zeros(1, 80, 10)) is x
