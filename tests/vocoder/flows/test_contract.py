"""Every bijection has two directions that undo each other, each with its log-determinant."""

import pytest
import torch
from exactness import Case, assert_exact
from tiny_models import perturbed, tiny_waveglow

from vocoder.flows.affine import ActNorm, ConditionalAffine
from vocoder.flows.conv1x1 import InvertibleConv1x1
from vocoder.flows.coupling import AffineCoupling
from vocoder.flows.inverse_autoregressive import InverseAutoregressive
from vocoder.flows.lapped import Grouping, LappedTransform
from vocoder.flows.minimum_phase import MinimumPhaseFilter
from vocoder.layers.stack.wavenet import WaveNetConfig, WaveNetStack

pytestmark = pytest.mark.usefixtures("float64")

BATCH = 2
CAUSAL = WaveNetConfig(channels=6, dilations=(1, 2), kernel_size=2, causal=True)


def stack(kept, outputs, cond_channels=2):
    return WaveNetStack(kept, outputs, cond_channels, WaveNetConfig(channels=3, dilations=(1, 2)))


def autoregressive(channels, kept, scaled_shift=False):
    network = WaveNetStack(channels + kept, 2 * (channels - kept), 3, CAUSAL)
    return InverseAutoregressive(network, channels, kept, 2.0, scaled_shift)


CASES = {
    "grouping": Case(lambda: Grouping(3), (2, 12)),
    "lapped": Case(lambda: LappedTransform(6), (1, 24)),
    "lapped, one block": Case(lambda: LappedTransform(6), (1, 6)),
    "conditional affine with floor": Case(lambda: ConditionalAffine(3, 2, log_s_floor=-0.1), (3, 5), (2, 5)),
    "actnorm": Case(lambda: ActNorm(3), (3, 5)),
    "1x1 convolution": Case(lambda: InvertibleConv1x1(4, step_scale=0.1), (4, 3)),
    "affine coupling": Case(lambda: AffineCoupling(stack(2, 4)), (4, 6), (2, 3)),
    "affine coupling, odd": Case(lambda: AffineCoupling(stack(3, 4, 0)), (5, 4)),
    "affine coupling, unbounded": Case(lambda: AffineCoupling(stack(2, 2), log_s_bound=None), (3, 4), (2, 4)),
    "additive coupling": Case(lambda: AffineCoupling(stack(3, 2), additive=True), (5, 4), (2, 2)),
    "samples": Case(lambda: autoregressive(1, 0), (1, 12), (3, 4), sequential=True),
    "frames with kept channels": Case(lambda: autoregressive(5, 3), (5, 12), (3, 4), sequential=True),
    "frames, scaled shift": Case(lambda: autoregressive(4, 2, True), (4, 12), (3, 4), sequential=True),
    "minimum-phase filter": Case(lambda: MinimumPhaseFilter(3, 16, 8, log_s_floor=-9.0), (1, 32), (3, 4), True),
    "waveglow, lapped": Case(lambda: tiny_waveglow("lapped"), (24,), (5, 3)),
    "waveglow, grouping": Case(lambda: tiny_waveglow("grouping"), (24,), (5, 3)),
    "waveglow, grouping, with actnorm": Case(lambda: tiny_waveglow("grouping", actnorm=True), (24,), (5, 3)),
}


@pytest.mark.parametrize("name", CASES)
def test_both_directions_and_their_log_determinants_are_exact(name):
    case = CASES[name]
    flow = case.build()
    initial = [parameter.clone() for parameter in flow.parameters()]
    perturbed(flow).eval()
    assert all(bool((a != b).all()) for a, b in zip(initial, flow.parameters(), strict=True))
    cond = None if case.cond is None else torch.randn(BATCH, *case.cond)
    x = torch.randn(BATCH, *case.x)
    z, _ = flow(x, cond)
    assert_exact(flow, x, torch.randn_like(z), cond, sequential=case.sequential)
    if cond is not None:
        moved, _ = flow(x, cond + torch.randn_like(cond))
        assert ((moved - z).abs().amax(dim=tuple(range(1, z.ndim))) > 1e-4).all()


@pytest.mark.parametrize(("channels", "kept"), [(1, 0), (5, 3)])
def test_inverse_autoregressive_flows_do_not_depend_on_later_noise(channels, kept):
    step, z, cond = perturbed(autoregressive(channels, kept)), torch.randn(1, channels, 12), torch.randn(1, 3, 4)
    changed = z.clone()
    changed[:, :, 7:] += 1.0
    until = 7 if kept else 8  # kept channels influence the others of the same step
    for one, other in zip(step.shift_and_log_scale(z, cond), step.shift_and_log_scale(changed, cond), strict=True):
        assert torch.equal(one[:, :, :until], other[:, :, :until])
        assert not torch.allclose(one[:, :, 8:], other[:, :, 8:])


@pytest.mark.parametrize(
    "flow",
    [AffineCoupling(WaveNetStack(2, 4, 3, WaveNetConfig(channels=8, dilations=(1, 2)))), autoregressive(4, 0)],
    ids=["coupling", "inverse autoregressive"],
)
def test_flows_with_a_network_start_as_the_identity(flow):
    flow, x, cond = flow.double(), torch.randn(2, 4, 8), torch.randn(2, 3, 2)
    z, log_det = flow.inverse(x, cond)
    assert torch.equal(z, x)
    assert torch.equal(log_det, torch.zeros(2))
