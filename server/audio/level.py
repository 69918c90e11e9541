"""How loud an answer is: by a gain, or to a loudness."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from server.problems import invalid_parameter

Waveform = NDArray[np.float32]

BLOCK_SECONDS = 0.4  # the shortest audio with a loudness
ROOM = 0.25  # for measuring: torchaudio's filters clip at full scale


@dataclass(frozen=True)
class Level:
    """A gain in dB, or the integrated loudness in LUFS (ITU-R BS.1770-4) that audio shall have."""

    gain: float = 0.0
    loudness: float | None = None

    @property
    def factor(self) -> float:
        """By which the gain multiplies samples."""
        return float(10.0 ** (self.gain / 20.0))

    def of(self, x: Waveform, sample_rate: int) -> Level:
        """Return the gain that gives x (T,) this level.

        Raises:
            Problem: the loudness of x cannot be measured.
        """
        import torchaudio  # takes a while

        if self.loudness is None:
            return self
        if len(x) < BLOCK_SECONDS * sample_rate:
            raise invalid_parameter("loudness", f"audio of less than {BLOCK_SECONDS} s has none; give gain")
        with torch.inference_mode():
            lowered = torchaudio.functional.loudness(ROOM * torch.from_numpy(x)[None], sample_rate)
        measured = lowered.item() - 20.0 * math.log10(ROOM)
        if not math.isfinite(measured):
            raise invalid_parameter("loudness", "this audio is too quiet to be measured; give gain")
        return Level(self.loudness - measured)
