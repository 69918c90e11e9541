"""Whether a device can be computed on."""

from __future__ import annotations

import torch


class DeviceError(ValueError):
    """There is no such device, or PyTorch cannot use it; the text says which and why."""


def usable_device(name: str | torch.device) -> torch.device:
    """Return a device that holds tensors.

    Raises:
        DeviceError: it cannot.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # PyTorch has no one error for this
        reason = str(error).partition("\n")[0].rstrip(".")
        raise DeviceError(f"device {str(name)!r} cannot be used: {reason}") from error
    return device
