"""What is wrong with a mel, in words: the same for Python, the commands and the server."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vocoder.mel.config import PRESETS

__all__ = ["bands_hint", "not_finite"]


def not_finite(values: NDArray[np.float32]) -> str | None:
    """Return how many values of a mel, of any shape, are not finite and where the first is; None where all are."""
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
    """Return the likely reason why a mel does not have the bands of its contract; empty where none is likely.

    Args:
        shape: of the mel, (..., rows, columns).
        n_mels: bands of the contract, which are not its rows.
    """
    rows, columns = shape[-2:]
    turned = columns == n_mels or (not _presets_of(rows) and bool(_presets_of(columns)))
    bands = columns if turned else rows
    hints = ["it looks transposed, (frames, bands) in place of (n_mels, frames)"] if turned else []
    names = _presets_of(bands) if bands != n_mels else []
    if len(names) == 1:  # of many none is likelier than the others
        hints.append(f"preset={names[0]} takes mels of {bands} bands")
    return "; ".join(hints)


def _presets_of(bands: int) -> list[str]:
    return [name for name, config in PRESETS.items() if config.n_mels == bands]
