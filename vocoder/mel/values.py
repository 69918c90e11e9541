"""What is given as a mel: real and finite numbers, and hints at what is wrong with its shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vocoder.mel.config import PRESETS

MOST_NAMES = 8
"""most presets that a hint names"""
LIBROSA_BANDS = 128
"""of librosa's mels, where nobody says how many"""


class MelError(ValueError):
    """A mel does not fit its mel config: its shape, or impossible values.

    Attributes:
        details: as plain data, where values are impossible: what was found, what is expected, and the guard's verdict.
    """

    def __init__(self, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.details = dict(details or {})


def finite_values(mel: Any) -> Tensor:
    """Return a tensor or array of any shape as a float32 tensor, on its own device.

    Raises:
        MelError: it is neither, or does not hold finite real numbers.
    """
    if not isinstance(mel, (Tensor, np.ndarray)):
        raise MelError(f"the mel must be a torch tensor or a numpy array, not {type(mel).__name__}")
    if mel.is_complex() if isinstance(mel, Tensor) else mel.dtype.kind not in "fiu":
        raise MelError(f"the mel must hold real numbers, not {mel.dtype}")
    # arrays are copied, as they may be read-only, reversed or of another byte order
    values = mel if isinstance(mel, Tensor) else torch.from_numpy(np.array(mel, dtype=np.float32, order="C"))
    values = values.detach().to(torch.float32)
    wrong = ~torch.isfinite(values)
    if bool(wrong.any()):
        places = torch.nonzero(wrong)
        first = ", ".join(str(int(i)) for i in places[0])
        raise MelError(
            f"{len(places)} of the {values.numel()} values are not finite (NaN, infinite, or beyond 32-bit floats), "
            f"the first of them mel[{first}]"
        )
    return values


def bands_hint(shape: Sequence[int], n_mels: int) -> str:
    """Return the likely reason why a mel has another number of bands; empty if unclear.

    Args:
        shape: of the mel (..., rows, columns).
        n_mels: bands of the mel config, unequal to its rows.
    """
    rows, columns = shape[-2:]
    turned = columns == n_mels or (not _presets_of(rows) and (bool(_presets_of(columns)) or columns == LIBROSA_BANDS))
    bands = columns if turned else rows
    hints = ["it looks transposed, (frames, bands) in place of (n_mels, frames)"] if turned else []
    if bands != n_mels and (names := _few_presets_of(bands)):
        hints.append(f"presets of {bands} bands are {names}")
    elif bands == LIBROSA_BANDS:
        hints.append(f"{bands} bands are librosa's default: compute {n_mels}, with the other settings of the model too")
    either = rows_hint(shape, n_mels)
    return "; ".join([*hints, either] if either else hints)


def rows_hint(shape: Sequence[int], n_mels: int) -> str:
    """Return the presets that have as many bands as this mel has rows; empty if none or many do.

    100 rows and 80 columns are the 80 bands of 100 frames, transposed, or 100 bands of 80 frames.
    """
    rows, columns = shape[-2:]
    names = _few_presets_of(rows)
    return f"or its {rows} rows are bands: such presets are {names}" if names and columns == n_mels else ""


def _few_presets_of(bands: int) -> str:
    """Return the names of the presets with this number of bands; empty if they are too many to help."""
    names = _presets_of(bands)
    return ", ".join(names) if len(names) <= MOST_NAMES else ""


def _presets_of(bands: int) -> list[str]:
    return [name for name, config in PRESETS.items() if config.n_mels == bands]
