"""What values and shapes a mel may have: real and finite numbers, in the range of its mel config."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vocoder.mel.config import MODELS, PRESETS, MelConfig
from vocoder.mel.spectrogram import MelSpectrogram

MOST_NAMES = 8
"""most presets that a hint names"""
LIBROSA_BANDS = 128
"""of librosa's mels, where nobody says how many"""
SLACK = 0.25  # acoustic models overshoot, so a quarter of the range is allowed on both sides
SWEEP_SECONDS = 2.0


class MelError(ValueError):
    """A mel does not fit its mel config: its shape, or impossible values.

    Attributes:
        details: as plain data, where values are impossible: what was found, what is expected, and the guard's verdict.
    """

    def __init__(self, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.details = dict(details or {})


def finite_values(mel: Any, start: int = 0) -> Tensor:
    """Return a tensor or array of any shape as a float32 tensor, on its own device.

    Raises a MelError if it is neither, or does not hold finite floating-point numbers. It counts frames from `start`,
    the first one of a piece.
    """
    if not isinstance(mel, (Tensor, np.ndarray)):
        raise MelError(f"the mel must be a torch tensor or a numpy array, not {type(mel).__name__}")
    if not (mel.is_floating_point() if isinstance(mel, Tensor) else mel.dtype.kind == "f"):
        raise MelError(f"the mel must hold floating-point numbers, not {mel.dtype}")
    # arrays are copied, as they may be read-only, reversed or of another byte order
    values = mel if isinstance(mel, Tensor) else torch.from_numpy(np.array(mel, dtype=np.float32, order="C"))
    values = values.detach().to(torch.float32)
    wrong = ~torch.isfinite(values)
    if bool(wrong.any()):
        places = torch.nonzero(wrong)
        places[:, -1:] += start
        first = ", ".join(str(int(i)) for i in places[0])
        raise MelError(
            f"{len(places)} of the {values.numel()} values are not finite (NaN, infinite, or beyond 32-bit floats), "
            f"the first of them mel[{first}]"
        )
    return values


def shape_fault(shape: Sequence[int], n_mels: int) -> str | None:
    """Return what is wrong with the shape of a mel, one or a batch of at least one frame; None if nothing is."""
    if len(shape) in (2, 3) and shape[-2] == n_mels and 0 not in shape:
        return None
    one, several = f"({n_mels}, frames)", f"(B, {n_mels}, frames)"
    right = {2: one, 3: several}.get(len(shape), f"{one} or {several}")
    fault = f"the mel must be {right}, at least one frame, not {tuple(shape)}"
    hint = bands_hint(shape, n_mels) if len(shape) in (2, 3) and shape[-2] != n_mels else ""
    return f"{fault}; {hint}" if hint else fault


def bands_hint(shape: Sequence[int], n_mels: int) -> str:
    """Return the likely reason why a mel (..., rows, columns) does not have `n_mels` bands; empty if unclear."""
    rows, columns = shape[-2:]
    turned = columns == n_mels or (not _presets_of(rows) and (bool(_presets_of(columns)) or columns == LIBROSA_BANDS))
    bands = columns if turned else rows
    hints = ["it looks transposed, (frames, bands) in place of (n_mels, frames)"] if turned else []
    if bands != n_mels and (names := _presets_of(bands)):
        known = ", ".join(names) if len(names) <= MOST_NAMES else f"{names[0]} and others"
        hints.append(f"presets of {bands} bands are {known}: pass preset=NAME")
        hints += [
            f"the shipped model {model!r} has {name} for its own" for name, model in MODELS.items() if name in names
        ]
    elif bands == LIBROSA_BANDS:
        hints.append(f"{bands} bands are librosa's default: compute {n_mels}, with the other settings of the model too")
    if columns == n_mels and 0 < len(names := _presets_of(rows)) <= MOST_NAMES:
        # 100 x 80: 80 bands turned, or 100 bands of 80 frames
        hints.append(f"or its {rows} rows are bands: such presets are {', '.join(names)}")
    return "; ".join(hints)


def _presets_of(bands: int) -> list[str]:
    return [name for name, config in PRESETS.items() if config.n_mels == bands]


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
        reason = " No value is negative, so this is another scale." if low <= smallest and largest <= high else ""
        return (
            f"The values go from {smallest:.4g} to {largest:.4g}, but with this mel config digital silence is "
            f"{self.silence:.4g} and full scale about {self.loudest:.4g}.{reason}"
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
