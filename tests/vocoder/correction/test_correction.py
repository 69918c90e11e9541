import copy
import dataclasses
import itertools
import pickle

import pytest
import torch

from vocoder.config import ConfigError
from vocoder.correction.correction import Correction, compiled_tables
from vocoder.kernels.launcher import kernel
from vocoder.layers.mel_filter import MelFilter
from vocoder.mel.config import preset
from vocoder.mel.spectrogram import MelSpectrogram
from vocoder.stages import MEL, NOISE, Pipeline

FRAMES = 130
NVIDIA = preset("nvidia")
CONFIGS = [
    NVIDIA,
    preset("hifigan"),
    dataclasses.replace(NVIDIA, name="short window", win_length=800),
    dataclasses.replace(NVIDIA, name="short hop", hop_length=128),
    dataclasses.replace(NVIDIA, name="all bins in bands", f_max=11025.0),
    dataclasses.replace(NVIDIA, name="short", n_fft=512, win_length=512, n_mels=40),
    dataclasses.replace(NVIDIA, name="long", n_fft=2048, win_length=2048, hop_length=512),
    dataclasses.replace(NVIDIA, name="tiny", n_fft=128, win_length=128, hop_length=16, n_mels=13),
]
both_framings = pytest.mark.parametrize("config", CONFIGS[:2], ids=lambda config: config.name)


def speechlike(config, seed, frames=FRAMES):
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(2, frames * config.hop_length, generator=generator)
    loudness = torch.rand(2, frames, generator=generator).repeat_interleave(config.hop_length, dim=1)
    return 0.1 * noise * loudness


def mel_of(config, x):
    return MelSpectrogram(config)(x)[:, :, : x.shape[1] // config.hop_length]


def correct_in_pieces(correction, x, mel, sizes, ended):
    """Return audio corrected in pieces of the given sizes; `ended` gives the whole mel before the first piece."""
    pipeline = Pipeline(correction.stages(NOISE, MEL), lambda start, n: x[:, None, start * 256 : (start + n) * 256])
    pieces, received = [], 0
    for size in itertools.cycle(sizes):
        if count := min(FRAMES if ended else size, FRAMES - received):
            pipeline.feed(mel[:, :, received : received + count])
        received += count
        if received == FRAMES and pipeline.total is None:
            pipeline.finish()
        ready = (FRAMES if pipeline.total else max(received - pipeline.lookahead, 0)) - pipeline.frames
        if ready > 0:
            pieces.append(pipeline.advance(min(ready, size) if ended else ready))
        if pipeline.frames == FRAMES:
            return torch.cat(pieces, dim=2)[:, 0]


@pytest.mark.parametrize("count", [1, 3, 5, 17])
@pytest.mark.parametrize("ended", [True, False])
def test_correcting_in_pieces_equals_correcting_the_whole(count, ended):
    x, mel = speechlike(NVIDIA, 7), mel_of(NVIDIA, speechlike(NVIDIA, 8))
    correction = Correction(NVIDIA, count)
    whole = correction(x, mel)
    for sizes in ((1,), (5, 16, 2), (8, 40, 2), (1, 15, 16, 20)):
        assert torch.equal(correct_in_pieces(correction, x, mel, sizes, ended), whole)


def test_utterances_of_different_lengths_can_be_corrected_together():
    correction, lengths = Correction(NVIDIA, 3), (110, 1, 17, 49)
    audio = [speechlike(NVIDIA, seed, frames)[0] for seed, frames in enumerate(lengths)]
    mels = [torch.randn(80, frames) - 4 for frames in lengths]
    for made, x, mel in zip(correction.many(audio, mels), audio, mels, strict=True):
        assert torch.equal(made, correction(x[None], mel[None])[0])
    assert correction.with_count(0).many(audio, mels) == audio


@both_framings
def test_gradients_exist_and_are_finite_in_silence(config):
    x = torch.zeros(1, FRAMES * config.hop_length, requires_grad=True)
    target = mel_of(config, speechlike(config, 9))[:1].requires_grad_()
    Correction(config, 2)(x + 0, target).square().sum().backward()
    assert target.grad is not None
    assert bool(torch.isfinite(x.grad).all())
    sound = speechlike(config, 10)[:1].requires_grad_()
    Correction(config, 2)(sound, target.detach()).square().sum().backward()
    assert float(sound.grad.abs().min(dim=1).values) >= 0 < float(sound.grad.abs().max())


def test_bins_outside_all_bands_do_not_grow_without_limit():
    x = 0.1 * torch.randn(1, 64 * 256)
    target = MelSpectrogram(NVIDIA)(x)[:, :, :64]
    target[:, -1, ::6] += 1.5  # no audio has such a mel, because frames overlap
    made = Correction(NVIDIA, 12)(x, target)
    power = torch.stft(made[0], 1024, 256, window=torch.hann_window(1024), return_complex=True).abs().square()
    band, edge = power[355:368].mean(dim=0), power[369:374].amax(dim=0)
    assert float((edge / band).max()) < 1000.0  # about 100,000 if all bins of the last band get one factor


@pytest.mark.parametrize("name", ["espnet", "r9y9", "speecht5"])
def test_unsupported_mels_are_rejected_unless_there_are_no_corrections(name):
    with pytest.raises(ConfigError, match=name):
        Correction(preset(name), 1)
    x = torch.randn(1, 2560)
    assert Correction(preset(name), 0)(x, torch.zeros(1, 80, 10)) is x


@both_framings
@pytest.mark.parametrize("count", [1, 5, 12])
def test_correcting_all_frames_at_once_comes_about_as_close_to_the_mel(config, count):
    x, target = speechlike(config, 2), MelSpectrogram(config)(speechlike(config, 1))[:, :, :FRAMES]
    correction = Correction(config, count)
    made = x, correction(x, target), correction.at_once(x, target)
    distances = [float((mel_of(config, y) - target).abs().mean()) for y in made]
    assert distances[2] < 0.8 * distances[0]
    assert distances[2] == pytest.approx(distances[1], rel=0.3)
    assert torch.equal(Correction(config, 0).at_once(x, target), x)


def test_steps_are_smaller_in_high_bands_unless_corrections_are_few():
    spread, (few, many) = MelFilter(NVIDIA).spread, (Correction(NVIDIA, count).spread for count in (4, 5))
    assert torch.equal(few, spread)
    assert [round(float(many[i].sum() / spread[i].sum()), 1) for i in (0, 26, 53, 79)] == [1.0, 0.9, 0.4, 0.1]


def random_chains(order, count, bands=80):
    audio = 0.1 * torch.randn(count, (order.slots + 19) * order.hop_length)
    frames = 19 + order.corrections
    return audio, torch.randn(count, frames, bands) - 4, (torch.rand(count, frames) > 0.1).float()


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
@pytest.mark.parametrize(("corrections", "pairs"), [(1, False), (1, True), (5, False), (5, True)])
def test_compiled_corrections_equal_plain_ones(config, corrections, pairs, monkeypatch):
    monkeypatch.setattr("vocoder.correction.correction.multiplies_tiles", lambda: pairs)
    correction = Correction(config, corrections)
    inputs = random_chains(correction.order, 3, config.n_mels)
    assert compiled_tables(config, correction.order.corrections) is not None
    assert kernel("correction", "corrected_in_pairs" if pairs else "corrected") is not None
    made, expected = correction.run(-3, *inputs), correction.plain(-3, *inputs)
    torch.testing.assert_close(made, expected, atol=1e-5 * max(1.0, 3 * float(expected.abs().max())), rtol=0)
    assert not torch.equal(made, inputs[0])


@pytest.mark.parametrize("count", [1, 7, 16])
def test_chains_are_corrected_independently(count):
    correction = Correction(NVIDIA, 3)
    audio, target, exists = random_chains(correction.order, count)
    made = correction.run(5, audio, target, exists)
    shared = audio.flatten().unfold(0, audio.shape[1], 512)[:count]  # rows may overlap in memory
    assert torch.equal(correction.run(0, shared, target, exists), correction.run(0, shared.clone(), target, exists))
    for i in range(0, count, 5):
        assert torch.equal(made[i : i + 1], correction.run(5, audio[i : i + 1], target[i : i + 1], exists[i : i + 1]))


def test_unsupported_sizes_and_types_use_plain_operations():
    config = dataclasses.replace(NVIDIA, name="600", n_fft=600, win_length=600, hop_length=150)
    few_bands = dataclasses.replace(NVIDIA, name="five bands", n_fft=64, win_length=64, hop_length=16, n_mels=5)
    others = [(Correction(config, 2), torch.float32), (Correction(few_bands, 2), torch.float32)]
    for correction, dtype in (*others, (Correction(NVIDIA, 2).double(), torch.float64)):
        x = 0.1 * torch.randn(1, 40 * correction.config.hop_length, dtype=dtype)
        made = correction(x, torch.zeros(1, correction.config.n_mels, 40, dtype=dtype))
        assert made.dtype == dtype
        assert not torch.equal(made, x)


def test_a_used_correction_can_be_copied_and_pickled():
    correction, x, mel = Correction(NVIDIA, 2), torch.randn(1, 8192), torch.zeros(1, 80, 32)
    made = correction(x, mel)
    for other in (copy.deepcopy(correction), pickle.loads(pickle.dumps(correction))):
        assert torch.equal(other(x, mel), made)
