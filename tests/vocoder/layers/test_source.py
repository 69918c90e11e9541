import math
from dataclasses import replace

import pytest
import torch
from tiny_models import constant_net, perturbed

from vocoder.layers import source
from vocoder.layers.conditioning import PitchConfig, PitchNet
from vocoder.layers.source import Excitation, at_sample_rate, harmonic_source

pytestmark = pytest.mark.usefixtures("float64")

CONFIG = PitchConfig(channels=4, layers=2, kernel_size=3, f0_min=50.0, f0_max=800.0, bins=17)


def test_the_frequency_comes_from_the_likeliest_class_and_its_neighbours():
    net = PitchNet(3, CONFIG)
    position = net.position(torch.tensor([50.0, 100.0, 200.0, 400.0, 800.0]))
    torch.testing.assert_close(position, torch.tensor([0.0, 4.0, 8.0, 12.0, 16.0]))
    mel = torch.randn(2, 3, 5)
    for chosen in (0, 3, 16):
        logits = torch.full((17,), -100.0)
        logits[chosen] = 100.0
        f0, voicing = constant_net(CONFIG, logits, math.log(3)).pitch(mel)
        torch.testing.assert_close(f0, torch.full((2, 5), 50.0 * 2 ** (chosen / 4)))
        torch.testing.assert_close(voicing, torch.full((2, 5), 0.75))
    for f0 in (90.0, 123.4, 300.0):  # between classes, from the blurred target
        logits = -0.5 * (torch.arange(17) - net.position(torch.tensor(f0))).square()
        assert abs(float(constant_net(CONFIG, logits).pitch(mel)[0][0, 0]) / f0 - 1) < 0.01
    far = torch.full((17,), -100.0)
    far[4], far[12] = 1.0, 0.9
    torch.testing.assert_close(constant_net(CONFIG, far).pitch(mel)[0], torch.full((2, 5), 100.0))


@pytest.mark.parametrize(("ahead", "context"), [(None, (2, 2)), (2, (2, 2)), (1, (3, 1)), (0, (4, 0))])
def test_a_frame_depends_exactly_on_its_context(ahead, context):
    net = perturbed(PitchNet(3, replace(CONFIG, ahead=ahead)), 0.5)
    mel = torch.randn(1, 3, 15)
    moved = mel.clone()
    moved[:, :, 7] += 1.0
    difference = (net(moved)[0] - net(mel)[0]).abs().amax(dim=(0, 1))
    assert net.context == context
    before, after = context
    assert torch.nonzero(difference > 1e-15).flatten().tolist() == list(range(7 - after, 8 + before))


RATE, HOP = 16000, 64


def test_the_source_is_a_sum_of_cosines_that_later_frames_do_not_change():
    f0 = torch.exp(torch.empty(2, 20).uniform_(math.log(60), math.log(500)))
    voicing = torch.rand(2, 20)
    x = harmonic_source(f0, voicing, HOP, RATE, 3000.0)
    f0_t = torch.exp(at_sample_rate(f0.log(), HOP))
    phase = 2 * math.pi * torch.cumsum(f0_t, dim=1) / RATE
    number = torch.arange(1, 60)[:, None, None]
    weight = (3000.0 / f0_t - number + 1).clamp(0, 1)
    expected = (weight * torch.cos(number * phase)).sum(dim=0) * 2 * torch.sqrt(f0_t / RATE)
    torch.testing.assert_close(x, expected * at_sample_rate(voicing, HOP), atol=1e-6, rtol=0)
    f0, voicing = 100 + 300 * torch.rand(1, 12), torch.rand(1, 12)
    whole = harmonic_source(f0, voicing, HOP, RATE, 4000.0)
    for frames in (1, 5, 11):
        part = harmonic_source(f0[:, :frames], voicing[:, :frames], HOP, RATE, 4000.0)
        certain = (frames - 1) * HOP + 1
        torch.testing.assert_close(part[:, :certain], whole[:, :certain], atol=1e-12, rtol=0)


def test_compiled_code_equals_the_source_in_float64_up_to_rounding(monkeypatch):
    f0 = (55 * torch.exp(2.3 * torch.rand(2, 23, dtype=torch.float64))).float()
    f0[0, 5:12] = f0[0, 5]  # a constant pitch
    voicing = torch.rand(2, 23, dtype=torch.float32)
    made = harmonic_source(f0, voicing, 256, 22050, 8000.0)
    assert made.dtype == torch.float32
    monkeypatch.setattr(source, "kernel", lambda *names: None)
    exact = harmonic_source(f0.double(), voicing.double(), 256, 22050, 8000.0)
    torch.testing.assert_close(made.double(), exact, atol=1e-5, rtol=1e-5)
    plain = harmonic_source(f0, voicing, 256, 22050, 8000.0)
    torch.testing.assert_close(plain.double(), exact, atol=5e-5, rtol=5e-5)


def test_the_excitation_mixes_source_and_noise_with_gains_from_the_condition():
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
