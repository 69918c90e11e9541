import pytest
import torch
from tiny_models import stirred

from vocoder.layers.conditioning import MelEncoder, MelUpsampler
from vocoder.layers.source import Excitation

pytestmark = pytest.mark.usefixtures("float64")


def test_a_frame_of_the_condition_depends_on_exactly_its_context():
    encoder = stirred(MelEncoder(4, 5), 0.3)
    mel = torch.randn(1, 4, 21)
    moved = mel.clone()
    moved[:, :, 10] += 1.0
    difference = (encoder(moved) - encoder(mel)).abs().amax(dim=(0, 1))
    assert encoder.context == 3
    assert torch.nonzero(difference > 1e-15).flatten().tolist() == list(range(7, 14))


def test_the_upsampled_mel_is_grouped_like_the_audio():
    upsampler = stirred(MelUpsampler(3, 8, 20, 4))
    mel = torch.randn(2, 3, 5)
    grouped = upsampler(mel)
    samples = upsampler.upsample(mel)[:, :, :40]
    assert grouped.shape == (2, 12, 10)
    for channel in range(3):
        for j in range(4):
            torch.testing.assert_close(grouped[:, 4 * channel + j], samples[:, channel, j::4])


def test_the_excitation_mixes_source_and_noise_by_gains_of_the_condition():
    excitation = Excitation(3, 4, torch.randn(4, 4))
    with torch.no_grad():
        excitation.gains.weight.zero_()
        excitation.gains.bias[:4] = torch.logit(torch.tensor([0.1, 0.2, 0.3, 0.4]))
        excitation.gains.bias[4:] = torch.logit(torch.tensor([0.5, 0.6, 0.7, 0.8]))
    source, noise = torch.randn(2, 4, 6), torch.randn(2, 4, 6)
    z = excitation(source, noise, excitation.gains_of(torch.randn(2, 3, 2)), 0.5)
    harmonic = torch.tensor([0.2, 0.4, 0.6, 0.8])[:, None] * source
    random = torch.tensor([0.7, 0.84, 0.98, 1.12])[:, None] * noise
    torch.testing.assert_close(z, 0.1 * excitation.mixing @ harmonic + 0.5 * random)
