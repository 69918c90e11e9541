import math

import pytest
import torch

from vocoder.flows.lapped import LappedTransform

pytestmark = pytest.mark.usefixtures("float64")


@pytest.mark.parametrize(("hop", "length"), [(2, 2), (4, 4), (8, 40), (64, 192)])
def test_it_is_orthonormal(hop, length):
    z, _ = LappedTransform(hop)(torch.eye(length)[:, None])
    matrix = z.flatten(1)
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(length), atol=1e-12, rtol=0)


@pytest.mark.parametrize("hop", [2, 8, 32])
def test_inner_frames_are_the_windowed_cosine_sums(hop):
    x = torch.randn(3, 1, 6 * hop)
    z, _ = LappedTransform(hop)(x)
    n = torch.arange(2 * hop)
    window = torch.sin(math.pi / (2 * hop) * (n + 0.5))
    position = n - hop // 2 + 0.5
    basis = math.sqrt(2 / hop) * torch.cos(math.pi / hop * position[:, None] * (torch.arange(hop) + 0.5))
    for frame in range(1, 5):
        start = hop * frame - hop // 2
        expected = (window * x[:, 0, start : start + 2 * hop]) @ basis
        torch.testing.assert_close(z[:, :, frame], expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("hop", "message"), [(8, "multiple of the hop 8, not 20"), (7, "and positive, not 7"), (0, "and positive, not 0")]
)
def test_a_length_or_a_hop_that_cannot_be_is_refused(hop, message):
    with pytest.raises(ValueError, match=message):
        LappedTransform(hop)(torch.zeros(1, 1, 20))
