"""Mels of equal values whose frames stand at other times: the audio is as much later."""

from __future__ import annotations

import dataclasses

from vocoder.adapt.frame_times import centre_of
from vocoder.mel.config import MelConfig
from vocoder.mel.convert import differences

TINY_EPSILON = 1e-8
"""magnitude_epsilon up to which no audible band changes"""


def framed_as(source: MelConfig, target: MelConfig) -> MelConfig:
    """Return a mel config with the framing of another."""
    return dataclasses.replace(source, centre=target.centre, magnitude_epsilon=target.magnitude_epsilon)


def delay_between(source: MelConfig, target: MelConfig, sample_rate: int) -> int | None:
    """Return how much later the frames of `source` stand than those of `target`, or None if values differ.

    Args:
        source: mel config of the given mels.
        target: mel config of the wanted mels.
        sample_rate: unit of the delay; a delay is a whole number of samples, 0 or more.
    """
    if max(source.magnitude_epsilon, target.magnitude_epsilon) > TINY_EPSILON:
        return None
    if differences(framed_as(source, target), target):
        return None
    later = (centre_of(source) - centre_of(target)) * sample_rate
    return int(later) if later.denominator == 1 and later >= 0 else None
