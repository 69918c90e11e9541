"""The view below a recording's band edge, and what fills the band above."""

import torch

from training.runs.recordings import band_limited, filled

RATE = 16000
BAND = torch.tensor([4000.0, RATE / 2])


def noise(seed, items=2):
    return torch.randn(items, 4096, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def levels(x):
    return torch.fft.rfft(x).abs()


def test_nothing_is_seen_above_the_edge_and_all_below_its_slope():
    x = noise(0)
    seen = band_limited(x, BAND, RATE)
    edge, slope = 4000 * 4096 // RATE, 3600 * 4096 // RATE
    assert float(levels(seen)[0, edge:].max()) < 1e-9
    torch.testing.assert_close(torch.fft.rfft(seen)[0, :slope], torch.fft.rfft(x)[0, :slope])
    torch.testing.assert_close(seen[1], x[1])


def test_above_the_edge_stands_what_is_expected():
    x, other = noise(0), noise(1)
    full = filled(x, other, BAND, RATE)
    edge = 4000 * 4096 // RATE + 1
    torch.testing.assert_close(torch.fft.rfft(full)[0, edge:], torch.fft.rfft(other)[0, edge:])
    torch.testing.assert_close(full[1], x[1])
    torch.testing.assert_close(filled(x, x, BAND, RATE), x)
