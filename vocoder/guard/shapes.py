"""What the shape of a mel alone tells."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vocoder.guard.verdict import Verdict
from vocoder.mel.config import PRESETS

__all__ = ["ShapeVerdict", "two_dimensional"]


class ShapeVerdict(Exception):  # noqa: N818 - it carries an answer
    """A mel whose shape says already what is wrong with it."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.message)
        self.verdict = verdict


def two_dimensional(mel: Tensor | np.ndarray, n_mels: int) -> Tensor:
    """Return a mel as a float32 tensor (n_mels, frames) on the CPU.

    Raises:
        ValueError: it is no array of two dimensions of finite numbers.
        ShapeVerdict: it has another number of bands, or its bands are columns.
    """
    values = mel.detach().cpu() if isinstance(mel, Tensor) else torch.from_numpy(np.array(mel, dtype=np.float32))
    values = values.float()
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(f"a mel is (n_mels, frames), not {tuple(values.shape)}")
    if not bool(torch.isfinite(values).all()):
        raise ValueError("the mel holds values that are not finite (NaN or infinity)")
    if values.shape[0] == n_mels:
        return values
    if values.shape[1] == n_mels:
        message = f"The mel is transposed: it has {n_mels} columns. Send ({n_mels}, frames)."
        raise ShapeVerdict(Verdict(False, 0.0, "transposed", message))
    like = [name for name, config in PRESETS.items() if config.n_mels == values.shape[0]]
    preset = like[0] if len(like) == 1 else None
    known = f", as mels of the {preset} preset do" if preset else ""
    message = f"The mel has {values.shape[0]} rows{known}; the contract has {n_mels} bands. Compute it as that says."
    raise ShapeVerdict(Verdict(False, 0.0, "bands", message, preset))
