from __future__ import annotations

import torch

from training.losses.pitch import pitch_loss
from vocoder.layers.source.pitch import PitchConfig, PitchNet

CONFIG = PitchConfig(channels=4, layers=1, kernel_size=3, f0_min=50.0, f0_max=800.0, bins=17)


def saying(bin_: int, voicing: float) -> PitchNet:
    """Return a network that is sure of a class and says a logit of voicing, whatever it hears."""
    net = PitchNet(3, CONFIG)
    with torch.no_grad():
        net.output.weight.zero_()
        net.output.bias.copy_(torch.tensor([-0.5 * (i - bin_) ** 2 for i in range(17)] + [voicing]))
    return net


MEL = torch.zeros(1, 3, 4)


def loss(net: PitchNet, *f0: float) -> float:
    return pitch_loss(net, MEL, torch.tensor([f0])).item()


def test_the_bell_around_the_true_pitch_is_best():
    f0 = [200.0] * 4  # the ninth of four octaves in sixteen steps
    values = [loss(saying(n, 3.0), *f0) for n in range(17)]
    assert values.index(min(values)) == 8
    index = torch.arange(17)
    bell = torch.softmax(-0.5 * (index - 8.0).square(), dim=0)
    entropy = -(bell * bell.log()).sum()
    expected = entropy + torch.nn.functional.softplus(torch.tensor(-3.0))
    assert abs(values[8] - float(expected)) < 1e-5


def test_unvoiced_frames_only_judge_voicing():
    assert abs(loss(saying(2, -30.0), 0.0, 0.0, 0.0, 0.0)) < 1e-5
    assert loss(saying(2, 30.0), 0.0, 0.0, 0.0, 0.0) > 29
    mixed = loss(saying(8, 0.0), 200.0, 0.0, 0.0, 0.0)
    assert abs(mixed - loss(saying(8, 0.0), *[200.0] * 4)) < 1e-5


def test_pitch_beyond_the_classes_counts_as_voiced_alone():
    assert abs(loss(saying(0, 30.0), *[40.0] * 4)) < 1e-5
    assert loss(saying(0, -30.0), *[40.0] * 4) > 29
    assert abs(loss(saying(0, 30.0), *[900.0] * 4)) < 1e-5
