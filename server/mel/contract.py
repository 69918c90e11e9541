"""What a model expects of a mel, in a form that machines can read, and the check that a mel is like that."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.errors import RequestError
from vocoder.config import to_dict
from vocoder.mel.config import MelConfig
from vocoder.mel.faults import bands_hint, not_finite
from vocoder.mel.range import MelRange

__all__ = ["MelContract", "check_finite"]


@dataclass(frozen=True)
class MelContract:
    """A mel configuration and the values that its mels can have."""

    mel_config: MelConfig
    values: MelRange

    @classmethod
    def of(cls, mel_config: MelConfig) -> MelContract:
        """Return the contract of a mel configuration, whose range is measured once."""
        return _measured(mel_config)

    @property
    def silence(self) -> float:
        """The value of digital silence."""
        return self.values.silence

    def describe(self) -> dict[str, Any]:
        """Return the contract as JSON: the definition, the layout and the range."""
        low, high = self.values.plausible
        return {
            **to_dict(self.mel_config),
            "layout": "(n_mels, frames)",
            "silence": self.silence,
            "plausible_range": [low, high],
        }

    def check(self, mel: NDArray[np.float32], max_frames: int) -> NDArray[np.float32]:
        """Return the mel as (n_mels, frames), or say what is wrong with it and what the likely mistake is.

        Args:
            mel: (n_mels, frames) or (1, n_mels, frames).
            max_frames: the longest mel to take.

        Raises:
            RequestError: wrong shape, not finite, implausible values, or too many frames.
        """
        mel = self._check_shape(mel)
        if mel.shape[1] > max_frames:
            detail = f"The mel is longer than {max_frames} frames, the most this server takes: send it in parts."
            raise RequestError("too-many-frames", detail, limit_frames=max_frames)
        check_finite(mel)
        self.check_values(float(mel.min()), float(mel.max()))
        return mel

    def check_values(self, smallest: float, largest: float) -> None:
        """Say what is wrong with a mel whose values go from `smallest` to `largest`, if anything is.

        Raises:
            RequestError: implausible values.
        """
        fault, (low, high) = self.values.fault(smallest, largest), self.values.plausible
        if fault is not None:
            raise _invalid(fault, found={"min": smallest, "max": largest}, expected={"min": low, "max": high})

    def _check_shape(self, mel: NDArray[np.float32]) -> NDArray[np.float32]:
        n_mels = self.mel_config.n_mels
        if mel.ndim == 3 and mel.shape[0] == 1:
            mel = mel[0]
        if mel.ndim == 3:
            raise _invalid(f"Send one mel per request, of shape ({n_mels}, frames), not a batch.")
        if mel.ndim != 2:
            raise _invalid(f"The mel must have the shape ({n_mels}, frames); this one has {mel.ndim} dimension.")
        if mel.shape[0] == n_mels:
            return mel
        hint = bands_hint(mel.shape, n_mels)
        fault = f"The model takes {n_mels} mel bands as rows; this mel has {mel.shape[0]} rows"
        raise _invalid(f"{fault}; {hint}." if hint else f"{fault}.")


@lru_cache(maxsize=64)
def _measured(mel_config: MelConfig) -> MelContract:
    return MelContract(mel_config, MelRange.of(mel_config))


def check_finite(mel: NDArray[np.float32]) -> None:
    """Raise RequestError if a value of a mel is not finite."""
    fault = not_finite(mel)
    if fault is not None:
        raise _invalid(f"{fault}.")


def _invalid(detail: str, **fields: Any) -> RequestError:
    return RequestError("invalid-mel", detail, **fields)
