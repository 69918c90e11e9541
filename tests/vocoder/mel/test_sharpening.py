import math

import pytest
import torch
from torch.nn import functional as F

from vocoder.mel.config import preset
from vocoder.mel.sharpening import GAIN, LIMIT, Sharpener, Sharpening, sharpening_of
from vocoder.mel.spectrogram import MelSpectrogram

CONFIG, CPU = preset("nvidia"), torch.device("cpu")
FLOOR = math.log(CONFIG.floor)


def noise(seed=0, level=0.05, config=CONFIG, seconds=2.0):
    """Return the mel (1, n_mels, frames) of white noise, in float64."""
    x = torch.randn(1, int(seconds * config.sample_rate), generator=torch.Generator().manual_seed(seed))
    return MelSpectrogram(config)(level * x).double()


def smoothed(mel, width=9):
    """Return a mel smoothed along both axes, like the output of an acoustic model."""
    for _ in range(2):
        mel = F.avg_pool1d(F.pad(mel, (width // 2,) * 2, mode="replicate"), width, 1).transpose(1, 2)
    return mel


@pytest.fixture(scope="module")
def sharpener():
    return Sharpener(CONFIG)


@pytest.mark.parametrize("name", ["nvidia", "vocos"])
@pytest.mark.parametrize("level", [0.3, 0.003])
def test_noise_is_unchanged_and_smooth_mels_get_the_full_strength(name, level):
    config = preset(name)
    mel = noise(level=level, config=config)
    assert torch.equal(Sharpening(Sharpener(config)).push(mel), mel)
    assert float(Sharpening(Sharpener(config)).textures(noise(7, level, config))[0, -1]) == pytest.approx(1.0, abs=0.05)
    strengths = Sharpening(Sharpener(config)).strengths(smoothed(mel))[0]
    assert strengths[0] == 0
    assert bool((strengths.diff() >= -1e-12).all())
    assert float(strengths[-1]) == 1.0
    assert int((strengths < 0.5).sum()) < 20


def test_gain_is_the_inverse_of_a_low_texture_and_less_for_a_medium_one():
    def texture_and_gain(share):
        mel = share * noise() - 4.0 * (1 - share)
        texture, strength = (getattr(Sharpening(Sharpener(CONFIG)), k)(mel)[0, -1] for k in ("textures", "strengths"))
        return float(texture), 1 + float(strength) * (GAIN - 1)

    assert texture_and_gain(0.3)[1] == GAIN
    texture, gain = texture_and_gain(0.55)
    assert gain == pytest.approx(1 / texture)
    assert 1.2 < texture_and_gain(0.7)[1] < 1 / texture_and_gain(0.7)[0]
    assert texture_and_gain(1.0)[1] == 1.0
    assert not bool(Sharpening(Sharpener(CONFIG)).strengths(noise()).signbit().any())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pieces_equal_the_whole_and_a_batch_equals_its_items(sharpener, dtype):
    mels = torch.cat([smoothed(noise(1)), noise(2), smoothed(noise(3), 3)]).to(dtype)
    whole = Sharpening(sharpener).push(mels)
    pieces = Sharpening(sharpener)
    cut = [pieces.push(mels[:, :, i:j]) for i, j in ((0, 1), (1, 1), (1, 8), (8, 40), (40, None))]
    torch.testing.assert_close(torch.cat(cut, dim=2), whole, rtol=0, atol=1e-12)
    assert pieces.reached == round(float(Sharpening(sharpener).strengths(mels)[0, -1]), 2) > 0
    for i in range(3):
        made = sharpening_of(CONFIG, CPU).push(mels[i : i + 1])
        torch.testing.assert_close(made, whole[i : i + 1], rtol=0, atol=1e-12)
    assert not torch.allclose(whole[0], mels[0])
    assert torch.equal(whole[1], mels[1])


def test_contrast_is_raised_within_bounds_without_changing_level_or_low_bands(sharpener):
    frame = torch.linspace(-1.0, 1.0, 80, dtype=torch.float64)[None, :, None].repeat(1, 1, 3) - 4.0
    ripple = torch.sin(torch.arange(80, dtype=torch.float64) * 2 * math.pi / 8)[None, :, None] * 0.05
    made = [Sharpening(sharpener, 1.0).push(frame + sign * ripple) for sign in (1, 0)]
    expected = GAIN * ripple[:, 30:70].repeat(1, 1, 3)
    torch.testing.assert_close((made[0] - made[1])[:, 30:70], expected, rtol=0, atol=5e-3)
    assert torch.equal(made[0][0, :20], (frame + ripple)[0, :20])
    louder = Sharpening(sharpener, 1.0).push(frame + ripple + 2.0)
    torch.testing.assert_close(louder - 2.0, made[0], rtol=0, atol=1e-6)
    mel = torch.full((1, 80, 4), -3.0, dtype=torch.float64)
    mel[:, 50:] = FLOOR
    made = Sharpening(sharpener, 1.0).push(mel)
    assert float((made - mel).max()) <= LIMIT
    assert float(made.min()) == FLOOR
    assert torch.equal(Sharpening(sharpener, 0.0).push(mel), mel)


def test_silence_is_ignored_and_unsupported_mels_are_unchanged(sharpener):
    silence = torch.full((1, 80, 200), FLOOR, dtype=torch.float64)
    assert torch.equal(Sharpening(sharpener).push(silence), silence)
    mel = smoothed(noise())
    late = Sharpening(sharpener).strengths(torch.cat([silence, mel], dim=2))[0, 200:]
    torch.testing.assert_close(late[5:], Sharpening(sharpener).strengths(mel)[0, 5:], rtol=0, atol=0.1)
    mel = torch.zeros(1, 80, 10)
    assert sharpening_of(preset("espnet"), CPU).push(mel) is mel
