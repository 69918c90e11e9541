from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from vocoder.layers.spectrum import compiled_spectrum


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_spectrum_is_gain_shift_and_scale(dtype):
    made, envelope = torch.randn(2, 5, 12).mul(3).to(dtype), torch.randn(2, 12, 5) * 60
    value, log_gain = made.float().transpose(1, 2).chunk(2, dim=1)
    t, log_scale = (0.1 * envelope).chunk(2, dim=1)
    expected = value * torch.exp(4 * torch.tanh(log_gain / 4)) + t
    expected = expected * torch.exp(-9.4 + F.softplus(log_scale + 9.4))
    found = compiled_spectrum(made, envelope, 0.1, 4.0, -9.4)
    assert found is not None
    torch.testing.assert_close(found, expected, rtol=3e-5, atol=1e-7)


def test_compiled_code_leaves_alone_what_it_does_not_know():
    made, envelope = torch.randn(1, 5, 12), torch.randn(1, 12, 5)
    assert compiled_spectrum(made.double(), envelope, 0.1, 4.0, -9.4) is None
    assert compiled_spectrum(made, envelope.double(), 0.1, 4.0, -9.4) is None
    assert compiled_spectrum(made.requires_grad_(), envelope, 0.1, 4.0, -9.4) is None
