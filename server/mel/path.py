"""What a request says of the contract that its mel was made with, and the way from there to the model's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from server.errors import RequestError
from vocoder.adapt.path import AdaptMode, MelPath, path_between
from vocoder.config import ConfigError
from vocoder.guard.automatic import AUTO, UnsureError, recognised_contract
from vocoder.mel.config import MelConfig
from vocoder.mel.contract import with_statistics
from vocoder.mel.convert import MelMismatchError

__all__ = ["MadeWith", "StatisticsValues", "known_contract", "path_headers", "requested_path"]

StatisticsValues = str | Sequence[float] | None
"""a number for each band: a list, or text with commas between them"""


class MadeWith(Protocol):
    """How a mel was made, as every interface can say it."""

    preset: str | None
    adapt: AdaptMode

    @property
    def statistics(self) -> tuple[StatisticsValues, StatisticsValues]:
        """Mean and variance of each band."""


def known_contract(name: str, known: Mapping[str, MelConfig]) -> MelConfig:
    """Return the contract of this name; raises RequestError where there is none."""
    if name not in known:
        raise RequestError("unknown-preset", f"The mel presets are {', '.join(known)}.", presets=list(known))
    return known[name]


def requested_path(
    asked: MadeWith, target: MelConfig, known: Mapping[str, MelConfig], mel: NDArray[np.float32] | None = None
) -> MelPath:
    """Return the way of a mel from what it was made with to a model's contract.

    Args:
        asked: what the request says; the model's own contract where it names no preset.
        target: the model's contract.
        known: contracts by name.
        mel: as it came, by which the preset "auto" is told; until then that is the model's own contract.

    Raises:
        RequestError: no such preset, statistics that are none, or no way that the request allows; the detail says why.
    """
    if asked.preset == AUTO:
        source = _recognised(asked, target, mel)
    else:
        source = target if asked.preset is None else known_contract(asked.preset, known)
    source = _normalised(source, *asked.statistics)
    try:
        return path_between(source, target, asked.adapt)
    except MelMismatchError as error:
        raise RequestError("mel-mismatch", f"{error}.", differences=list(error.differences)) from None


def _recognised(asked: MadeWith, target: MelConfig, mel: NDArray[np.float32] | None) -> MelConfig:
    """Return the contract that a mel is of; the model's own for what is no mel, which is refused as such."""
    if any(values is not None for values in asked.statistics):
        raise _invalid("preset", "auto takes no mean and variance: name the preset that they belong to")
    if mel is None or mel.ndim not in (2, 3) or not np.isfinite(mel).all():
        return target
    try:
        return recognised_contract(mel.reshape(mel.shape[-2:]) if mel.shape[0] == 1 else mel, target)
    except UnsureError as error:
        raise RequestError("unsure-preset", str(error), likeliest=error.as_dicts()) from None
    except ValueError:
        return target


def path_headers(path: MelPath) -> dict[str, str]:
    """Return the response headers that tell what was done to a mel."""
    if path.own:
        return {}
    return {"X-Mel-Preset": path.source.name} | ({} if path.adapted is None else {"X-Mel-Adapted": path.adapted})


def _normalised(source: MelConfig, mean: StatisticsValues, variance: StatisticsValues) -> MelConfig:
    if mean is None and variance is None:
        return source
    given = {"mean": mean, "variance": variance}
    missing = [name for name, values in given.items() if values is None]
    if missing:
        raise _invalid(missing[0], "mean and variance come together")
    numbers = [_numbers(name, values, source.n_mels) for name, values in given.items()]
    try:
        return with_statistics(source, (numbers[0], numbers[1]))
    except ConfigError:
        raise _invalid("variance", "must be positive for every band") from None


def _numbers(name: str, values: StatisticsValues, n_mels: int) -> tuple[float, ...]:
    try:
        parts: Sequence[Any] = values.split(",") if isinstance(values, str) else list(values or ())
        found = tuple(map(float, parts))
    except ValueError:
        found = ()
    if len(found) != n_mels or not all(map(math.isfinite, found)):
        raise _invalid(name, f"must be {n_mels} finite numbers, one for each band")
    return found


def _invalid(name: str, message: str) -> RequestError:
    return RequestError("invalid-parameter", f"{name}: {message}.", errors=[{"parameter": name, "message": message}])
