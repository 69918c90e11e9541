import itertools

import pytest
import torch

from vocoder.config import ConfigError
from vocoder.correction.correction import Correction
from vocoder.mel.config import preset
from vocoder.mel.spectrogram import MelSpectrogram
from vocoder.stages import MEL, NOISE, Pipeline

FRAMES = 130
NVIDIA = preset("nvidia")


@pytest.fixture(params=["nvidia", "hifigan"])
def config(request):
    return preset(request.param)


def speechlike(config, seed, frames=FRAMES):
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(2, frames * config.hop_length, generator=generator)
    loudness = torch.rand(2, frames, generator=generator).repeat_interleave(config.hop_length, dim=1)
    return 0.1 * noise * loudness


def mel_of(config, x):
    return MelSpectrogram(config)(x)[:, :, : x.shape[1] // config.hop_length]


def streamed(correction, x, mel, sizes, ended):
    """Return audio corrected piece by piece, of a mel that ends before or comes in pieces of the given sizes."""
    pipeline = Pipeline(
        correction.stages(NOISE, MEL), lambda start, frames: x[:, None, start * 256 : (start + frames) * 256]
    )
    pieces, given = [], 0
    for size in itertools.cycle(sizes):
        fed = min(FRAMES if ended else size, FRAMES - given)
        if fed:
            pipeline.feed(mel[:, :, given : given + fed])
        given += fed
        if given == FRAMES and pipeline.total is None:
            pipeline.finish()
        ready = (FRAMES if pipeline.total else max(given - pipeline.lookahead, 0)) - pipeline.frames
        if ready > 0:
            pieces.append(pipeline.advance(min(ready, size) if ended else ready))
        if pipeline.frames == FRAMES:
            return torch.cat(pieces, dim=2)[:, 0]


@pytest.mark.parametrize("count", [1, 3, 5, 17])
@pytest.mark.parametrize("ended", [True, False])
def test_a_stream_is_the_whole(count, ended):
    x, mel = speechlike(NVIDIA, 7), mel_of(NVIDIA, speechlike(NVIDIA, 8))
    correction = Correction(NVIDIA, count)
    whole = correction(x, mel)
    for sizes in ((1,), (5, 16, 2), (8, 40, 2), (1, 15, 16, 20)):
        assert torch.equal(streamed(correction, x, mel, sizes, ended), whole)


def test_utterances_of_different_lengths_are_corrected_side_by_side():
    correction, lengths = Correction(NVIDIA, 3), (110, 1, 17, 49)
    audio = [speechlike(NVIDIA, seed, frames)[0] for seed, frames in enumerate(lengths)]
    mels = [torch.randn(80, frames) - 4 for frames in lengths]
    for made, x, mel in zip(correction.many(audio, mels), audio, mels, strict=True):
        assert torch.equal(made, correction(x[None], mel[None])[0])
    assert correction.with_count(0).many(audio, mels) == audio


def test_gradients_flow_and_are_finite_in_silence(config):
    x = torch.zeros(1, FRAMES * config.hop_length, requires_grad=True)
    target = mel_of(config, speechlike(config, 9))[:1].requires_grad_()
    Correction(config, 2)(x + 0, target).square().sum().backward()
    assert target.grad is not None
    assert bool(torch.isfinite(x.grad).all())
    sound = speechlike(config, 10)[:1].requires_grad_()
    Correction(config, 2)(sound, target.detach()).square().sum().backward()
    assert float(sound.grad.abs().min(dim=1).values) >= 0 < float(sound.grad.abs().max())


def test_a_bin_that_no_band_hears_is_not_raised_without_end():
    torch.manual_seed(0)
    x = 0.1 * torch.randn(1, 64 * 256)
    target = MelSpectrogram(NVIDIA)(x)[:, :, :64]
    target[:, -1, ::6] += 1.5  # which no audio has: neighbouring frames overlap
    made = Correction(NVIDIA, 12)(x, target)
    power = torch.stft(made[0], 1024, 256, window=torch.hann_window(1024), return_complex=True).abs().square()
    band, edge = power[355:368].mean(dim=0), power[369:374].amax(dim=0)
    assert float((edge / band).max()) < 1000.0  # about 100,000 where all bins of the last band move alike


@pytest.mark.parametrize("name", ["espnet", "r9y9", "speecht5"])
def test_other_conventions_are_refused_unless_nothing_is_to_be_done(name):
    with pytest.raises(ConfigError, match=name):
        Correction(preset(name), 1)
    x = torch.randn(1, 2560)
    assert Correction(preset(name), 0)(x, torch.zeros(1, 80, 10)) is x


@pytest.mark.parametrize("count", [1, 5, 12])
def test_all_frames_at_once_come_about_as_near_to_the_mel(config, count):
    x, target = speechlike(config, 2), MelSpectrogram(config)(speechlike(config, 1))[:, :, :FRAMES]
    correction = Correction(config, count)
    distances = [
        float((MelSpectrogram(config)(y)[:, :, :FRAMES] - target).abs().mean())
        for y in (x, correction(x, target), correction.at_once(x, target))
    ]
    assert distances[2] < 0.8 * distances[0]
    assert distances[2] == pytest.approx(distances[1], rel=0.3)
    assert torch.equal(Correction(config, 0).at_once(x, target), x)
