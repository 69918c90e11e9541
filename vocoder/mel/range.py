"""Possible values of mels of a contract, and the likely mistake behind others."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import MelSpectrogram

__all__ = ["MelRange"]

SLACK = 0.25  # acoustic models overshoot, so a quarter of the range is allowed on both sides
SWEEP_SECONDS = 2.0


@dataclass(frozen=True)
class MelRange:
    """Possible values of a contract's mels.

    Attributes:
        silence: value of digital silence.
        loudest: largest value of a full-scale sine swept over all bands.
        log: of the contract.
    """

    silence: float
    loudest: float
    log: str

    @classmethod
    def of(cls, mel_config: MelConfig) -> MelRange:
        """Measure the range with silence and a sweep."""
        extract = MelSpectrogram(mel_config)
        seconds = torch.arange(0.0, SWEEP_SECONDS, 1.0 / mel_config.sample_rate, dtype=torch.float64)
        slope = (mel_config.f_max - mel_config.f_min) / SWEEP_SECONDS
        sweep = torch.sin(2.0 * torch.pi * (mel_config.f_min + slope * seconds / 2.0) * seconds)
        with torch.no_grad():
            loudest = extract(sweep.float().unsqueeze(0)).max()
        return cls(float(torch.as_tensor(extract.silence()).min()), float(loudest), mel_config.log)

    @property
    def plausible(self) -> tuple[float, float]:
        """Smallest and largest allowed value."""
        slack = SLACK * (self.loudest - self.silence)
        return self.silence - slack, self.loudest + slack

    def fault(self, smallest: float, largest: float) -> str | None:
        """Return what is wrong with values from `smallest` to `largest`, or None."""
        low, high = self.plausible
        # Real mels have bands near silence. If silence is clearly negative, a mel without any has another scale.
        without_logarithm = smallest >= 0.0 and self.silence <= -1.0
        if low <= smallest and largest <= high and not without_logarithm:
            return None
        return (
            f"The values do not fit the mel contract: {self._likely_mistake(smallest, largest)} In this contract "
            f"digital silence is {self.silence:.4g} and full scale about {self.loudest:.4g}."
        )

    def _likely_mistake(self, smallest: float, largest: float) -> str:
        if self.silence > -1.0 and smallest < -1.0:
            return "they look like plain logarithms, but this contract is normalised."
        if smallest >= 0.0 and largest <= 1.0:
            return "they lie in 0..1, so the mel looks normalised, or like magnitudes without the logarithm."
        if smallest >= 0.0:
            return "none is negative, so the mel looks like magnitudes without the logarithm."
        if self.log != "db20" and 3.0 * self.silence < smallest < self.plausible[0]:
            return "they go below silence, so the mel looks like the logarithm of powers, or of a lower floor."
        if self.log != "db20" and smallest < self.plausible[0]:
            return f"they go far below silence, so the mel looks like decibels instead of {self.log}."
        return "they go beyond full scale, so the mel looks like decibels, or made from samples not in -1..1."
