"""From the binary messages of a stream to frames of a mel, checked as they come."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.mel.contract import MelContract, check_finite
from server.problems import Problem
from vocoder.mel.config import MelConfig
from vocoder.mel.convert import convert

__all__ = ["StreamIntake"]

JUDGED_FRAMES = 64
"""frames among which a mel has a band near silence, whatever it is of; fewer may be all loud"""


class StreamIntake:
    """Reads and checks frames as an acoustic model makes them, one by one, and turns them into mels of a model.

    Args:
        dtype: of the values that are sent, little-endian.
        source: the contract of what is sent.
        target: what the model takes; it differs from `source` only in what converts exactly.
        max_frames: the longest mel to take.
    """

    def __init__(self, dtype: np.dtype[Any], source: MelContract, target: MelConfig, max_frames: int) -> None:
        self._dtype = dtype
        self._source = source
        self._target = target
        self._max_frames = max_frames
        self._smallest = math.inf
        self.frames = 0
        """frames of the mel so far"""

    @property
    def frame_bytes(self) -> int:
        """Size of a frame as it is sent."""
        return self._source.mel_config.n_mels * self._dtype.itemsize

    def take(self, message: bytes) -> NDArray[np.float32]:
        """Return the mel (n_mels, frames) of a message that holds whole frames, each with its n_mels values together.

        It is in the contract of what is sent; `converted` makes of it what the model takes.

        Raises:
            Problem: 400 not whole frames; 413 too many in all; 422 values that do not fit the contract.
        """
        n_mels = self._source.mel_config.n_mels
        if not message or len(message) % self.frame_bytes:
            detail = (
                f"A message holds whole frames of {n_mels} {self._dtype.name} values, {self.frame_bytes} bytes each."
            )
            raise Problem(400, "malformed-body", detail)
        frames = np.frombuffer(message, self._dtype).reshape(-1, n_mels)
        self.frames += len(frames)
        if self.frames > self._max_frames:
            detail = f"The mel is longer than {self._max_frames} frames, the most this server takes in one stream."
            raise Problem(413, "too-many-frames", detail, limit_frames=self._max_frames)
        mel = np.array(frames.T, np.float32, order="C")  # a copy: the message cannot be written to
        check_finite(mel)
        self._judge(mel)
        return mel

    def converted(self, mel: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a mel (n_mels, frames) of what is sent in the contract of the model."""
        return mel if self._source.mel_config == self._target else convert(mel, self._source.mel_config, self._target)

    def _judge(self, mel: NDArray[np.float32]) -> None:
        self._smallest = min(self._smallest, float(mel.min()))
        smallest = self._smallest if self.frames >= JUDGED_FRAMES else min(self._smallest, self._source.silence)
        self._source.check_values(smallest, float(mel.max()))
