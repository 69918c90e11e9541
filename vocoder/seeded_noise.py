"""White noise that is a function of seed and absolute position."""

from __future__ import annotations

import operator

import numpy as np
import torch
from torch import Tensor

BLOCK_FRAMES = 32
"""frames drawn from one counter-based generator; part of what a seed means, so never changed"""


def check_seed(seed: int) -> None:
    """Raise a ValueError if noise cannot be drawn from a seed."""
    try:
        right = 0 <= operator.index(seed) < 2**63
    except TypeError:
        right = False
    if not right:
        raise ValueError(f"the seed must be a whole number, 0 or more and below 2**63, not {seed!r}")


def white_noise(seed: int, start: int, frames: int, channels: int, steps_per_frame: int = 1) -> Tensor:
    """Return standard normal noise (channels, frames * steps_per_frame) for frames from `start` on, float32 on the CPU.

    The value at a frame depends on the seed and the frame's position alone, not on how much is drawn at a time nor on
    the device, so that an utterance made in chunks, in a batch or at once is the same.
    """
    check_seed(seed)
    if start < 0 or frames < 0:
        raise ValueError(f"start and frames must be 0 or more, not {start} and {frames}")
    first, last = start // BLOCK_FRAMES, (start + frames + BLOCK_FRAMES - 1) // BLOCK_FRAMES
    size = (BLOCK_FRAMES * steps_per_frame, channels)
    drawn = np.empty((max(last - first, 1), *size), np.float32)
    for block, out in enumerate(drawn, start=first):
        np.random.Generator(np.random.Philox(key=[seed, block])).standard_normal(dtype=np.float32, out=out)
    offset = (start - first * BLOCK_FRAMES) * steps_per_frame
    return torch.from_numpy(drawn.reshape(-1, channels)[offset : offset + frames * steps_per_frame]).T
