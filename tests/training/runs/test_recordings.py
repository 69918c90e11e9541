"""The view below a recording's band edge, and what fills the band above."""

import tiny_waveglow
import torch
from tiny_waveglow import RATE

BATCH = {"band": torch.tensor([2000.0, RATE / 2])}
EDGE, SLOPE = 2000 * 4096 // RATE + 1, 1600 * 4096 // RATE


def noise(seed):
    return torch.randn(2, 4096, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_nothing_is_seen_above_the_edge_and_all_below_its_slope():
    x = noise(0)
    spectrum, seen = torch.fft.rfft(x), torch.fft.rfft(tiny_waveglow.objective().seen(x, BATCH))
    assert float(seen[0, EDGE:].abs().max()) < 1e-9
    torch.testing.assert_close(seen[0, :SLOPE], spectrum[0, :SLOPE])
    torch.testing.assert_close(seen[1], spectrum[1])


def test_above_the_edge_stands_what_is_expected():
    x, other, made = noise(0), noise(1), tiny_waveglow.objective()
    full = made.filled(x, other, BATCH)
    torch.testing.assert_close(torch.fft.rfft(full)[0, EDGE:], torch.fft.rfft(other)[0, EDGE:])
    torch.testing.assert_close(full[1], x[1])
    torch.testing.assert_close(made.filled(x, x, BATCH), x)
    assert made.filled(x, other, {"x": x}) is x
