"""Checks of bijections in float64, by round trips and autograd's Jacobian, and comparisons of audio."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from vocoder.flows.base import Flow


class Case(NamedTuple):
    """A function that builds a flow, and the shapes of one item of its data and its condition."""

    build: Callable[[], Flow]
    x: tuple[int, ...]
    cond: tuple[int, int] | None = None
    sequential: bool = False


def assert_same(x, expected, tolerance=1e-5):
    """Compare audio to 1e-5 of full scale, or of its peak if that is higher, as with random weights."""
    full = max(1.0, float(abs(expected).max()))
    np.testing.assert_allclose(np.asarray(x), np.asarray(expected), rtol=0, atol=tolerance * full)


def jacobian(direction, value, cond=None):
    """Return d output / d input (n, n) at one item, without its batch dimension."""

    def function(item):
        return direction(item[None], cond)[0][0] if cond is not None else direction(item[None])[0][0]

    return torch.autograd.functional.jacobian(function, value).reshape(value.numel(), value.numel())


def assert_exact(flow, x, z, cond=None, tolerance=1e-9, sequential=False):
    """Check both directions of `flow` at data x (B, C, T) and unrelated noise z, without the Jacobian if sequential."""
    arguments = () if cond is None else (cond,)
    noise, log_det = flow(x, *arguments)
    again, inverse_log_det = flow.inverse(noise, *arguments)
    torch.testing.assert_close(again, x, atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(inverse_log_det, -log_det, atol=tolerance, rtol=tolerance)
    back, _ = flow(flow.inverse(z, *arguments)[0], *arguments)
    torch.testing.assert_close(back, z, atol=tolerance, rtol=tolerance)
    for direction, value in [(flow.inverse, z), *([] if sequential else [(flow, x)])]:
        _, found = direction(value, *arguments)
        assert found.shape == (len(value),)
        for i in range(len(value)):
            matrix = jacobian(direction, value[i], None if cond is None else cond[i : i + 1])
            expected = torch.linalg.slogdet(matrix)[1]
            torch.testing.assert_close(found[i], expected, atol=tolerance, rtol=tolerance)
