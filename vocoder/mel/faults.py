"""Messages about faulty mels, shared by Python, the commands and the server."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vocoder.mel.config import PRESETS

__all__ = ["bands_hint", "not_finite", "rows_hint"]

MOST_NAMES = 8
"""most presets that a hint names"""
LIBROSA_BANDS = 128
"""of librosa's mels, where nobody says how many"""


def not_finite(values: NDArray[np.float32]) -> str | None:
    """Return how many values of a mel are not finite, and where the first is; None if all are finite."""
    wrong = ~np.isfinite(values)
    count = int(np.count_nonzero(wrong))
    if count == 0:
        return None
    first = ", ".join(str(i) for i in np.argwhere(wrong)[0])
    return (
        f"{count} of the {values.size} values are not finite (NaN, infinite, or beyond 32-bit floats), "
        f"the first of them mel[{first}]"
    )


def bands_hint(shape: Sequence[int], n_mels: int) -> str:
    """Return the likely reason why a mel has another number of bands; empty if unclear.

    Args:
        shape: of the mel (..., rows, columns).
        n_mels: bands of the contract, unequal to its rows.
    """
    rows, columns = shape[-2:]
    turned = columns == n_mels or (not _presets_of(rows) and (bool(_presets_of(columns)) or columns == LIBROSA_BANDS))
    bands = columns if turned else rows
    hints = ["it looks transposed, (frames, bands) in place of (n_mels, frames)"] if turned else []
    if bands != n_mels and (names := _few_presets_of(bands)):
        hints.append(f"presets of {bands} bands are {names}")
    elif bands == LIBROSA_BANDS:
        hints.append(
            f"{bands} bands are librosa's default: compute {n_mels}, with the other settings of the contract too"
        )
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
