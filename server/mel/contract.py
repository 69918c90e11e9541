"""What a model expects of a mel, in a form that machines can read, and the check that a mel is like that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from server.problems import Problem
from vocoder.config import to_dict
from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import MelSpectrogram

__all__ = ["MelContract", "check_finite"]

SLACK = 0.25  # acoustic models overshoot: a quarter of the range is allowed on both sides
SWEEP_SECONDS = 2.0


@dataclass(frozen=True)
class MelContract:
    """A mel configuration and the values that its mels can have.

    Attributes:
        mel_config: the definition of the mel.
        silence: the value of digital silence.
        loudest: the largest value of a full-scale sine swept over all bands.
    """

    mel_config: MelConfig
    silence: float
    loudest: float

    @classmethod
    def of(cls, mel_config: MelConfig) -> MelContract:
        """Measure the range of a mel configuration with silence and a sweep."""
        extract = MelSpectrogram(mel_config)
        seconds = torch.arange(0.0, SWEEP_SECONDS, 1.0 / mel_config.sample_rate, dtype=torch.float64)
        slope = (mel_config.f_max - mel_config.f_min) / SWEEP_SECONDS
        sweep = torch.sin(2.0 * torch.pi * (mel_config.f_min + slope * seconds / 2.0) * seconds)
        with torch.no_grad():
            loudest = extract(sweep.float().unsqueeze(0)).max()
        return cls(mel_config, float(torch.as_tensor(extract.silence()).min()), float(loudest))

    @property
    def plausible_range(self) -> tuple[float, float]:
        """The smallest and largest value that a mel may hold."""
        slack = SLACK * (self.loudest - self.silence)
        return self.silence - slack, self.loudest + slack

    def describe(self) -> dict[str, Any]:
        """Return the contract as JSON: the definition, the layout and the range."""
        low, high = self.plausible_range
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
            Problem: 422 wrong shape, not finite, or implausible values; 413 too many frames.
        """
        mel = self._check_shape(mel)
        if mel.shape[1] > max_frames:
            detail = f"The mel is longer than {max_frames} frames, the most this server takes: send it in parts."
            raise Problem(413, "too-many-frames", detail, limit_frames=max_frames)
        check_finite(mel)
        self.check_values(float(mel.min()), float(mel.max()))
        return mel

    def check_values(self, smallest: float, largest: float) -> None:
        """Say what is wrong with a mel whose values go from `smallest` to `largest`, if anything is.

        Raises:
            Problem: 422 implausible values.
        """
        low, high = self.plausible_range
        # Real mels have bands near silence; one without any, where silence is clearly negative, has another scale.
        without_logarithm = smallest >= 0.0 and self.silence <= -1.0
        if low <= smallest and largest <= high and not without_logarithm:
            return
        reason = self._likely_mistake(smallest, largest)
        expected = f"In this contract digital silence is {self.silence:.4g} and full scale about {self.loudest:.4g}."
        raise _invalid(
            f"The values do not fit the mel contract: {reason} {expected}",
            found={"min": smallest, "max": largest},
            expected={"min": low, "max": high},
        )

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
        if mel.shape[1] == n_mels:
            raise _invalid(f"The mel looks transposed: it has {n_mels} columns. Send ({n_mels}, frames).")
        raise _invalid(f"The model takes {n_mels} mel bands as rows; this mel has {mel.shape[0]} rows.")

    def _likely_mistake(self, smallest: float, largest: float) -> str:
        if self.silence > -1.0 and smallest < -1.0:
            return "they look like plain logarithms, but this contract is normalised."
        if smallest >= 0.0 and largest <= 1.0:
            return "they lie in 0..1, so the mel looks normalised, or like magnitudes without the logarithm."
        if smallest >= 0.0:
            return "none is negative, so the mel looks like magnitudes without the logarithm."
        if self.mel_config.log != "db20" and smallest < self.plausible_range[0]:
            return f"they go far below silence, so the mel looks like decibels instead of {self.mel_config.log}."
        return "they go beyond full scale, so the mel looks like decibels, or made from samples not in -1..1."


def check_finite(mel: NDArray[np.float32]) -> None:
    """Raise a Problem, 422, if a value of a mel is not finite."""
    finite = np.isfinite(mel)
    if not finite.all():
        count = int(mel.size - np.count_nonzero(finite))
        raise _invalid(f"{count} of the {mel.size} values are not finite (NaN, infinite, or beyond 32-bit floats).")


def _invalid(detail: str, **fields: Any) -> Problem:
    return Problem(422, "invalid-mel", detail, **fields)
