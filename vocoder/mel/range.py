"""Possible values of mels of a mel config."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch

from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import MelSpectrogram

SLACK = 0.25  # acoustic models overshoot, so a quarter of the range is allowed on both sides
SWEEP_SECONDS = 2.0


@dataclass(frozen=True)
class MelRange:
    """Possible values of mels: of digital silence, and the largest of a full-scale sine swept over all bands."""

    silence: float
    loudest: float

    @property
    def plausible(self) -> tuple[float, float]:
        """Smallest and largest allowed value."""
        slack = SLACK * (self.loudest - self.silence)
        return self.silence - slack, self.loudest + slack

    def fault(self, smallest: float, largest: float) -> str | None:
        """Return what is wrong with values from `smallest` to `largest`, or None."""
        low, high = self.plausible
        # Real mels have bands near silence. If silence is clearly negative, a mel without any has another scale.
        if low <= smallest and largest <= high and not (smallest >= 0.0 and self.silence <= -1.0):
            return None
        return (
            f"The values go from {smallest:.4g} to {largest:.4g}, but with this mel config digital silence is "
            f"{self.silence:.4g} and full scale about {self.loudest:.4g}."
        )


@lru_cache(maxsize=64)
def mel_range(mel_config: MelConfig) -> MelRange:
    """Return the range of a mel config, measured once with silence and a sweep."""
    extract = MelSpectrogram(mel_config)
    seconds = torch.arange(0.0, SWEEP_SECONDS, 1.0 / mel_config.sample_rate, dtype=torch.float64)
    slope = (mel_config.f_max - mel_config.f_min) / SWEEP_SECONDS
    sweep = torch.sin(2.0 * torch.pi * (mel_config.f_min + slope * seconds / 2.0) * seconds)
    with torch.no_grad():
        loudest = extract(sweep.float().unsqueeze(0)).max()
    return MelRange(float(extract.silence().min()), float(loudest))
