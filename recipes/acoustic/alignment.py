"""From durations of phonemes to frames of a mel, in exact arithmetic."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recipes.corpora.kokoro_voice import SAMPLE_RATE, UNIT
from vocoder.mel.config import MelConfig

PLACES = 4
"""numbers that say where in its token a frame stands"""
VOICED = 50.0
"""Hz; Kokoro's pitch is lower where it is unvoiced, and on its way there"""
_REFERENCE = 200.0
_ENERGY_CENTRE, _ENERGY_SCALE = -5.0, 2.0


def tokens_of_frames(durations: NDArray[np.int64], frames: int, mel_config: MelConfig) -> NDArray[np.int64]:
    """Return the index of the token (frames,) that each frame's centre falls into; the last one past the end.

    Frame i of a centred mel stands on sample i * hop_length; a token ends with its last unit of 600 samples at 24 kHz.
    """
    # Both sides in seconds times both sample rates: whole numbers, so that nothing is ever rounded.
    ends = np.cumsum(durations) * UNIT * mel_config.sample_rate
    centres = np.arange(frames, dtype=np.int64) * mel_config.hop_length * SAMPLE_RATE
    return np.minimum(np.searchsorted(ends, centres, side="right"), len(durations) - 1)


def places(tokens: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return (4, frames): the share of its token before a frame, tenths of frames from its start and to its end, and
    the logarithm of the token's frames over 5.

    Args:
        tokens: (frames,) in ascending order, from `tokens_of_frames`.
    """
    counts = np.bincount(tokens)
    starts = np.cumsum(counts) - counts
    since = np.arange(len(tokens)) - starts[tokens]
    length = counts[tokens]
    rows = [(since + 0.5) / length, since / 10, (length - 1 - since) / 10, np.log(length / 5)]
    return np.stack(rows).astype(np.float32)


def token_prosody(
    pitch: NDArray[np.float64], durations: NDArray[np.int64], mel: NDArray[np.float32], tokens: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return (3, N): each token's mean pitch in octaves from 200 Hz, voiced share and mean level of the mel, scaled.

    The pitch of a token without voiced frames is 0.

    Args:
        pitch: (2 * sum(durations),) in Hz, unvoiced below 50.
        durations: (N,) in units.
        mel: (n_mels, frames) in nats.
        tokens: (frames,) of the frames.
    """
    owner = np.repeat(np.arange(len(durations)), 2 * durations)
    voiced = pitch > VOICED
    share = mean_by_token(voiced.astype(np.float64), owner, len(durations))
    octaves = np.where(voiced, np.log2(np.maximum(pitch, 1.0) / _REFERENCE), 0.0)
    height = mean_by_token(octaves, owner, len(durations)) / np.maximum(share, 1e-9)
    level = mean_by_token((mel.mean(axis=0) - _ENERGY_CENTRE) / _ENERGY_SCALE, tokens, len(durations))
    return np.stack([height, share, level]).astype(np.float32)


def mean_by_token(values: NDArray[np.floating], owner: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Return the mean (count,) of the values (T,) that belong to each token by `owner` (T,), 0 where none does."""
    total = np.bincount(owner, weights=values, minlength=count)
    return total / np.maximum(np.bincount(owner, minlength=count), 1)
