"""From what a network at frame rate makes to the coefficients of a frame, by compiled code."""

from __future__ import annotations

import torch
from torch import Tensor

from vocoder.kernels.launcher import kernel
from vocoder.layers.stack import takes

__all__ = ["compiled_spectrum"]

STRIPE = 16
"""rows that a thread takes at a time"""
DTYPES = (torch.bfloat16, torch.float32)


def compiled_spectrum(made: Tensor, envelope: Tensor, unit: float, bound: float, floor: float) -> Tensor | None:
    """Return (value * exp(bound * tanh(log_gain / bound)) + t) * exp(floor + softplus(log_scale - floor)).

    Args:
        made: value and log_gain, (B, frames, 2 * C), in float32 or bfloat16.
        envelope: t and log_scale, (B, 2 * C, frames), as multiples of `unit`.
        unit: of the envelope.
        bound: soft bound of log_gain.
        floor: soft lower bound of log_scale.

    Returns:
        (B, C, frames), or None where compiled code does not apply.
    """
    if made.device.type != "cpu" or envelope.dtype != torch.float32 or made.dtype not in DTYPES:
        return None
    run = kernel("spectrum", "spectrum", made.dtype) if takes(made) and takes(envelope) else None
    if run is None:
        return None
    batch, frames, width = made.shape
    out = envelope.new_empty(batch, frames, width // 2)
    given = (made, envelope.transpose(1, 2))  # of one item, a view of any strides would do for a reshape
    rows = (*(part.reshape(-1, width).contiguous() for part in given), out.view(-1, width // 2))
    run(-(-batch * frames // STRIPE), STRIPE, unit, bound, floor, *rows)
    return out.transpose(1, 2)
