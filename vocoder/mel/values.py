"""Check the values of a mel: real and finite numbers in the range of its mel config."""

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import MelSpectrogram
from vocoder.npy import MASKED
from vocoder.stages import torch_defaults

OVERSHOOT, UNDERSHOOT = 0.25, 0.5  # share of the range that acoustic models may go beyond full scale, and silence
SWEEP_SECONDS = 2.0


class MelError(ValueError):
    """A mel does not fit its mel config: its shape is wrong, or its values are impossible.

    For impossible values, `details` is plain data: the found and expected range, and the guard's verdict.
    """

    def __init__(self, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.details = dict(details or {})


def finite_values(mel: Any, start: int = 0) -> Tensor:
    """Convert a tensor or array of any shape to a float32 tensor on the same device.

    Raises a MelError if it is neither, or does not hold finite floating-point numbers. The message counts frames from
    `start`, the first frame of a piece.
    """
    if not isinstance(mel, (Tensor, np.ndarray)):
        raise MelError(f"the mel must be a torch tensor or a numpy array, not {type(mel).__name__}")
    if not (mel.is_floating_point() if isinstance(mel, Tensor) else mel.dtype.kind == "f"):
        raise MelError(f"the mel must hold floating-point numbers, not {mel.dtype}")
    if np.ma.is_masked(mel):
        raise MelError(MASKED)
    if isinstance(mel, Tensor) and (mel.is_meta or mel.is_nested or mel.layout != torch.strided):
        raise MelError("the mel must be a dense tensor with values, not one that is meta, nested or sparse")
    # copied: arrays may be read-only, reversed or in another byte order, and a caller may fill its buffer again
    with np.errstate(over="ignore"):  # values beyond float32 become infinite, which is reported below
        values = mel.detach() if isinstance(mel, Tensor) else torch.from_numpy(np.array(mel, np.float32, order="C"))
    values = values.resolve_neg().to(torch.float32, copy=isinstance(mel, Tensor))
    if values.numel() and not all(map(math.isfinite, bounds(values))):
        places = torch.nonzero(~torch.isfinite(values))
        places[:, -1:] += start
        first = ", ".join(str(int(i)) for i in places[0])
        fault = f"{len(places)} of the {values.numel()} values are not finite (NaN, infinite, or beyond 32-bit floats)"
        logarithms = bool((values[~torch.isfinite(values)] == -math.inf).all())
        why = "; the logarithm of 0 is infinite, so take that of max(x, 1e-5)" if logarithms else ""
        raise MelError(f"{fault}, the first of them mel[{first}]{why}")
    return values


def bounds(mel: Tensor) -> tuple[float, float]:
    """Return the smallest and the largest value of a mel; both are NaN if it contains NaN."""
    smallest, largest = torch.aminmax(mel)
    return smallest.item(), largest.item()


class MelRange:
    """The value of digital silence in a mel config, and the largest value of a full-scale sine swept over all bands."""

    def __init__(self, mel_config: MelConfig) -> None:
        extract = MelSpectrogram(mel_config)
        seconds = torch.arange(0.0, SWEEP_SECONDS, 1.0 / mel_config.sample_rate, dtype=torch.float64)
        slope = (mel_config.f_max - mel_config.f_min) / SWEEP_SECONDS
        sweep = torch.sin(2.0 * torch.pi * (mel_config.f_min + slope * seconds / 2.0) * seconds)
        with torch.no_grad():
            self.loudest = float(extract(sweep.float().unsqueeze(0)).max())
        self.silence = float(extract.silence().min())
        width = self.loudest - self.silence
        self.plausible = self.silence - UNDERSHOOT * width, self.loudest + OVERSHOOT * width
        """smallest and largest allowed value"""

    def fault(self, smallest: float, largest: float) -> str | None:
        """Explain what is wrong with values from `smallest` to `largest`, or return None."""
        low, high = self.plausible
        # Real mels have bands near silence. Where silence is clearly negative, no negative value means another scale.
        if low <= smallest and largest <= high and not (smallest >= 0.0 and self.silence <= -1.0):
            return None
        lower = largest <= high and low > smallest > low - (self.loudest - self.silence)
        reason = f" If only the floor is lower, raise smaller values to {self.silence:.4g}." if lower else ""
        reason = " No value is negative, so this is another scale." if low <= smallest and largest <= high else reason
        expected = f"digital silence is {self.silence:.4g} and full scale about {self.loudest:.4g}"
        return f"The values go from {smallest:.4g} to {largest:.4g}, but with this mel config {expected}.{reason}"


mel_range = lru_cache(maxsize=64)(torch_defaults()(MelRange))
"""returns the range of a mel config, which is measured once"""
