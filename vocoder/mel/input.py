"""Check what callers pass as a mel and its options, and make it a batch."""

from __future__ import annotations

from functools import cached_property, lru_cache
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vocoder.mel.config import MelConfig
from vocoder.mel.faults import bands_hint, not_finite
from vocoder.mel.range import MelRange
from vocoder.noise import check_seed

__all__ = ["MAX_CORRECTIONS", "MelError", "MelReader", "check_sampling", "finite_values", "mel_reader", "seeds_of"]


class MelError(ValueError):
    """A mel does not fit the model's contract: its shape, or impossible values."""


class MelReader:
    """Turns tensors and arrays into batches of mels.

    Args:
        mel_config: the contract of the mels.
        device: of the batches.
    """

    def __init__(self, mel_config: MelConfig, device: torch.device) -> None:
        self.mel_config = mel_config
        self.device = device

    @cached_property
    def values(self) -> MelRange:
        """Possible values of a mel."""
        return MelRange.of(self.mel_config)

    def batch(self, mel: Any) -> Tensor:
        """Return a mel (n_mels, frames) or (B, n_mels, frames) as (B, n_mels, frames) float32.

        Raises:
            MelError: it is not finite, has the wrong shape or impossible values.
        """
        batch = self._shaped(mel)
        self._check(float(batch.min()), float(batch.max()))
        return batch

    def piece(self, mel: Any) -> Tensor:
        """Return a piece (n_mels, frames) of a mel as (1, n_mels, frames) float32.

        Raises:
            MelError: as in `batch`, and for a batch.
        """
        batch = self._shaped(mel)
        if mel.ndim != 2:
            raise MelError(f"a stream takes one mel (n_mels, frames), not one of {mel.ndim} dimensions")
        self._check(min(float(batch.min()), self.values.silence), float(batch.max()))  # a piece may be loud throughout
        return batch

    def _shaped(self, mel: Any) -> Tensor:
        if not isinstance(mel, (Tensor, np.ndarray)):
            raise MelError(f"the mel must be a torch tensor or a numpy array, not {type(mel).__name__}")
        n_mels = self.mel_config.n_mels
        if mel.ndim not in (2, 3) or mel.shape[-2] != n_mels or 0 in mel.shape:
            hint = bands_hint(mel.shape, n_mels) if mel.ndim in (2, 3) and mel.shape[-2] != n_mels else ""
            one, several = f"({n_mels}, frames)", f"(B, {n_mels}, frames)"
            right = {2: one, 3: several}.get(mel.ndim, f"{one} or {several}")
            fault = f"the mel must be {right}, at least one frame, not {tuple(mel.shape)}"
            raise MelError(f"{fault}; {hint}" if hint else fault)
        batch = finite_values(mel).to(self.device)
        return batch.unsqueeze(0) if batch.ndim == 2 else batch

    def _check(self, smallest: float, largest: float) -> None:
        fault = self.values.fault(smallest, largest)
        if fault is not None:
            raise MelError(f"{fault} These go from {smallest:.4g} to {largest:.4g}.")


@lru_cache(maxsize=64)
def mel_reader(mel_config: MelConfig, device: torch.device) -> MelReader:
    """Return the reader of a contract; its range is measured once."""
    return MelReader(mel_config, device)


MAX_CORRECTIONS = 100
"""largest number of corrections; far fewer are enough"""


def check_sampling(sigma: float | None, denoise: float, corrections: int | None = None) -> None:
    """Raise a ValueError if sigma, denoise or corrections is out of range."""
    for name, value in (("sigma", sigma), ("denoise", denoise)):
        if not isinstance(value, Real) and not (name == "sigma" and value is None):
            raise ValueError(f"{name} must be a number, not {value!r}")
    if sigma is not None and not 0 <= sigma < float("inf"):
        raise ValueError(f"sigma must be 0 or more, not {sigma}")
    if not 0 <= denoise <= 1:
        raise ValueError(f"denoise must lie in 0 to 1, not {denoise}")
    if corrections is None:
        return
    if isinstance(corrections, bool) or not isinstance(corrections, int) or not 0 <= corrections <= MAX_CORRECTIONS:
        raise ValueError(f"corrections must be a whole number from 0 to {MAX_CORRECTIONS}, not {corrections!r}")


def seeds_of(seed: int | None, count: int) -> list[int]:
    """Return a seed for each item of a batch: consecutive ones from `seed`, or random ones.

    Raises:
        ValueError: a seed is out of range.
    """
    if seed is None:
        return [int(value) for value in torch.randint(0, 2**31, (count,))]
    for value in (seed, seed + count - 1):
        check_seed(value)
    return [seed + i for i in range(count)]


def finite_values(mel: Tensor | np.ndarray) -> Tensor:
    """Return a mel of any shape as float32 on its own device.

    Raises:
        MelError: it does not hold finite real numbers.
    """
    values = _real(mel).detach().to(torch.float32)
    if not bool(torch.isfinite(values).all()):
        raise MelError(str(not_finite(values.cpu().numpy())))
    return values


def _real(mel: Tensor | np.ndarray) -> Tensor:
    """Return a mel as a tensor. Arrays are copied, as they may be read-only, reversed or of another byte order."""
    if mel.is_complex() if isinstance(mel, Tensor) else mel.dtype.kind not in "fiu":
        raise MelError(f"the mel must hold real numbers, not {mel.dtype}")
    return mel if isinstance(mel, Tensor) else torch.from_numpy(np.array(mel, dtype=np.float32, order="C"))
