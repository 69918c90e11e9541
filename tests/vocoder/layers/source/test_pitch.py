import math
from dataclasses import replace

import pytest
import torch
from tiny_models import stirred

from vocoder.layers.source.pitch import PitchConfig, PitchNet

pytestmark = pytest.mark.usefixtures("float64")

CONFIG = PitchConfig(channels=4, layers=2, kernel_size=3, f0_min=50.0, f0_max=800.0, bins=17)


def net_that_says(logits: torch.Tensor, voicing: float = 0.0) -> PitchNet:
    """Return a network whose logits are the same for every mel."""
    net = PitchNet(3, CONFIG)
    with torch.no_grad():
        net.output.weight.zero_()
        net.output.bias.copy_(torch.cat([logits, torch.tensor([voicing])]))
    return net


def test_the_frequency_is_that_of_the_likeliest_class_and_its_neighbours():
    net = PitchNet(3, CONFIG)
    position = net.position(torch.tensor([50.0, 100.0, 200.0, 400.0, 800.0]))
    torch.testing.assert_close(position, torch.tensor([0.0, 4.0, 8.0, 12.0, 16.0]))
    mel = torch.randn(2, 3, 5)
    for chosen in (0, 3, 16):
        logits = torch.full((17,), -100.0)
        logits[chosen] = 100.0
        f0, voicing = net_that_says(logits, math.log(3)).pitch(mel)
        torch.testing.assert_close(f0, torch.full((2, 5), 50.0 * 2 ** (chosen / 4)))
        torch.testing.assert_close(voicing, torch.full((2, 5), 0.75))
    for f0 in (90.0, 123.4, 300.0):  # between classes, from the blurred target
        logits = -0.5 * (torch.arange(17) - net.position(torch.tensor(f0))).square()
        assert abs(float(net_that_says(logits).pitch(mel)[0][0, 0]) / f0 - 1) < 0.01
    far = torch.full((17,), -100.0)
    far[4], far[12] = 1.0, 0.9
    torch.testing.assert_close(net_that_says(far).pitch(mel)[0], torch.full((2, 5), 100.0))


@pytest.mark.parametrize(("ahead", "context"), [(None, (2, 2)), (2, (2, 2)), (1, (3, 1)), (0, (4, 0))])
def test_a_frame_depends_on_exactly_its_context(ahead, context):
    net = stirred(PitchNet(3, replace(CONFIG, ahead=ahead)), 0.5)
    mel = torch.randn(1, 3, 15)
    moved = mel.clone()
    moved[:, :, 7] += 1.0
    difference = (net(moved)[0] - net(mel)[0]).abs().amax(dim=(0, 1))
    assert net.context == context
    before, after = context
    assert torch.nonzero(difference > 1e-15).flatten().tolist() == list(range(7 - after, 8 + before))
