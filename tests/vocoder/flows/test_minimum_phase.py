import math

import pytest
import torch

from vocoder.flows.minimum_phase import MinimumPhaseFilter

TAPS, HOP = 16, 8

pytestmark = pytest.mark.usefixtures("float64")


def test_equals_a_filter_written_sample_by_sample():
    flow, z, cond = MinimumPhaseFilter(3, TAPS, HOP, -9.0), torch.randn(1, 1, 4 * HOP), torch.randn(1, 3, 4)
    flow.requires_grad_(False).set_log_scale(0.5 * torch.randn(flow.bands, 3, 3), torch.randn(flow.bands))
    responses = flow.responses(cond)[0]
    x, _ = flow.inverse(z, cond)
    for n in (0, 5, 17, 31):
        frame, part = divmod(n, HOP)
        h = torch.lerp(responses[frame], responses[frame + 1], part / HOP)
        expected = sum(h[k] * z[0, 0, n - k] for k in range(min(TAPS, n + 1)))
        assert float(x[0, 0, n]) == pytest.approx(float(expected), abs=1e-12)


def test_response_has_the_amplitude_of_the_bands_and_the_least_delay():
    """At the bands' own frequencies, for an envelope that the taps can hold; all zeros lie inside the unit circle."""
    flow = MinimumPhaseFilter(1, 64, 64).requires_grad_(False)
    bands = torch.arange(flow.bands) * math.pi / (flow.bands - 1)
    log_amplitude = 0.8 * torch.cos(bands) - 0.5 * torch.cos(3 * bands) - 2.0
    flow.set_log_scale(torch.zeros(flow.bands, 1, 3), log_amplitude)
    h = flow.responses(torch.zeros(1, 1, 1))[0, 0]
    torch.testing.assert_close(torch.fft.rfft(h).abs().log(), log_amplitude, rtol=0, atol=1e-9)
    assert float(h[0]) == pytest.approx(math.exp(-2.0), rel=1e-12)
    companion = torch.diag(torch.ones(30), -1)
    companion[0] = -h[1:32] / h[0]
    assert float(torch.linalg.eigvals(companion).abs().max()) < 1.0
