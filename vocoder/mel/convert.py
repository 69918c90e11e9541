"""Convert exactly between mel configs, or explain why that is impossible.

A mel value is a function of one band energy: floor, logarithm, reference, range and statistics. Two mel configs that
differ only in these convert value by value. The earlier steps (frames, window, bins, magnitude) mix samples and cannot
be undone from the mel.
"""

import math
from dataclasses import replace
from typing import Any

from torch import Tensor

from vocoder.mel.config import MelConfig

# Why a difference in these fields cannot be converted; `name` and convertible fields are absent.
_REASONS = {
    "sample_rate": "the audio differs",
    "n_fft": "frames cover different stretches of audio",
    "win_length": "frames cover different stretches of audio",
    "hop_length": "the frame rate differs",
    "centre": "frames are at different times",
    "n_mels": "the bands differ",
    "f_min": "the bands differ",
    "f_max": "the bands differ",
    "mel_scale": "the bands differ",
    "mel_norm": "the bands are weighted differently",
    "power": "sums of powers and sums of magnitudes do not determine each other",
    "magnitude_epsilon": "it is added before the bands are summed",
}

_NATURAL = {"ln": 1.0, "log10": math.log(10.0), "db20": math.log(10.0) / 20.0, "db10": math.log(10.0) / 10.0}
"""nepers per unit of each kind of logarithm"""


def as_it_is(error: Exception) -> tuple[Any, ...]:
    """Reduce an error for pickle to its message and attributes, as a `__reduce__`: its `__init__` takes no message."""
    return type(error).__new__, (type(error), *error.args), error.__dict__


class MelMismatchError(ValueError):
    """Two mel configs differ in ways that cannot be converted; `differences` lists them.

    `model` is a shipped model that accepts such mels, if there is one.
    """

    __reduce__ = as_it_is

    def __init__(self, source: MelConfig, target: MelConfig, found: tuple[str, ...], model: str | None = None) -> None:
        hint = f"use the shipped model {model!r}" if model else f"compute the mel with the mel config {target.name!r}"
        reason = f"{source.name!r} mels cannot be converted exactly to {target.name!r}"
        super().__init__(f"{hint}, because {reason}: {'; '.join(found)}")
        self.differences = found


def differences(source: MelConfig, target: MelConfig) -> tuple[str, ...]:
    """List what prevents an exact conversion from `source` to `target`; empty if nothing does."""
    found = ((field, getattr(source, field), getattr(target, field)) for field in _REASONS)
    return tuple(
        f"{field} is {own!r}, not {other!r} ({_REASONS[field]})" for field, own, other in found if own != other
    )


def plain(config: MelConfig) -> MelConfig:
    """Return a mel config without mean and variance."""
    return replace(config, mean=None, variance=None)


def convert(mel: Tensor, source: MelConfig, target: MelConfig) -> Tensor:
    """Convert a mel (n_mels, frames) or (B, n_mels, frames) between configs that differ in the encoding of energies.

    The result equals the mel that `target` gives for the same audio, except for energies that `source` clips at its
    floor or at the top of its range. Raises a MelMismatchError if the mel configs differ in other ways, and a
    ValueError if the mel does not have the shape of `source`.
    """
    if found := differences(source, target):
        raise MelMismatchError(source, target, found)
    if mel.ndim not in (2, 3) or mel.shape[-2] != source.n_mels:
        shapes = f"({source.n_mels}, frames) or (B, {source.n_mels}, frames)"
        raise ValueError(f"{source.name!r} mels must be {shapes}, not {tuple(mel.shape)}")
    return encode(decode(mel.double(), source).clamp(min=math.log(target.floor)), target).to(mel.dtype)


def decode(mel: Tensor, config: MelConfig) -> Tensor:
    """Return the natural logarithms of the band energies of a mel (..., n_mels, frames)."""
    if config.mean is not None and config.variance is not None:
        mel = mel * _column(mel, config.variance).sqrt() + _column(mel, config.mean)
    if config.range_db is not None:
        mel = ((mel - config.range_low) / (config.range_high - config.range_low) - 1.0) * config.range_db
    if config.log == "db10":  # librosa's top_db clips low values: bands that share the smallest one are silent
        least = mel == mel.amin(-2, keepdim=True)
        mel = mel.masked_fill(least & (least.sum(-2, keepdim=True) > 2), 10.0 * math.log10(config.floor))
    return (mel + config.ref_db) * _NATURAL[config.log]


def encode(log_energy: Tensor, config: MelConfig) -> Tensor:
    """Return the mel of natural logarithms of band energies (..., n_mels, frames) at or above the floor."""
    mel = log_energy / _NATURAL[config.log] - config.ref_db
    if config.range_db is not None:
        width = config.range_high - config.range_low
        mel = (mel / config.range_db + 1.0).clamp(0.0, 1.0) * width + config.range_low
    if config.mean is not None and config.variance is not None:
        mel = (mel - _column(mel, config.mean)) / _column(mel, config.variance).sqrt()
    return mel


def _column(mel: Tensor, values: tuple[float, ...]) -> Tensor:
    return mel.new_tensor(values)[:, None]
