"""Whether a mel is admitted: its mel config, its shape and values, and the verdict of the mel guard."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from server.problems import Problem, invalid_parameter
from server.request.asked import Asked
from vocoder.adapt.path import MelPath, path_between
from vocoder.config import ConfigError, to_dict
from vocoder.guard.automatic import AUTO, UnsureError, recognised_contract
from vocoder.guard.opinion import GuardMode, judged
from vocoder.guard.verdict import Verdict
from vocoder.mel.config import MelConfig
from vocoder.mel.contract import with_statistics
from vocoder.mel.convert import MelMismatchError
from vocoder.mel.faults import bands_hint, not_finite
from vocoder.mel.names import ALIASES, canonical, meant
from vocoder.mel.range import MelRange
from vocoder.sampling import Sampling

__all__ = [
    "Admitted",
    "admit",
    "check_finite",
    "check_mel",
    "check_values",
    "described_mel",
    "judge",
    "known_config",
    "longest",
    "mel_path",
    "mel_range",
]

Mel = NDArray[np.float32]

mel_range = lru_cache(maxsize=64)(MelRange.of)
"""the values that mels of a config can have, measured once"""


@dataclass(frozen=True)
class Admitted:
    """A mel that the model may have, and how to synthesize it.

    Attributes:
        mel: (n_mels, frames) in the model's own config.
        sampling: with a seed.
        path: how the mel was converted.
        frames: of the mel as it was sent.
        verdict: of the mel guard, if it gave one.
        recognised: name of the recognised mel config, where preset=auto.
    """

    mel: Mel
    sampling: Sampling
    path: MelPath
    frames: int
    verdict: Verdict | None = None
    recognised: str | None = None


def admit(
    mel: Mel, asked: Asked, target: MelConfig, known: Mapping[str, MelConfig], mode: GuardMode, max_frames: int
) -> Admitted:
    """Check a mel by the config that it was made with, convert it to the model's own, and judge it.

    Args:
        mel: as it was decoded, of any shape.
        asked: what the request says.
        target: the model's own mel config.
        known: mel configs by name.
        mode: of the guard: `warn`, `strict` or `off`.
        max_frames: the longest mel that a model is given.

    Raises:
        Problem: whatever is wrong with the mel or with what is said about it.
    """
    asked.check_corrections(target)
    path = mel_path(asked, target, known, mel)
    given = _checked(mel, path.source, longest(path, max_frames), mode)
    own = given if path.own else path.convert(given)
    recognised = path.source.name if asked.preset == AUTO else None
    return Admitted(own, asked.sampling().seeded(), path, given.shape[1], judge(given, path, mode), recognised)


def mel_path(asked: Asked, target: MelConfig, known: Mapping[str, MelConfig], mel: Mel | None = None) -> MelPath:
    """Return the conversion from the config that a mel was made with to the model's own.

    Args:
        asked: what the request says; without a preset, the mel has the model's own config.
        target: the model's own config.
        known: mel configs by name.
        mel: as it was decoded. preset=auto recognises it; without a mel, auto stands for the model's own config.

    Raises:
        Problem: unknown preset, invalid statistics, or no conversion that the request allows.
    """
    if asked.preset == AUTO:
        source = _recognised(asked, target, mel)
    else:
        source = target if asked.preset is None else known_config(asked.preset, known)
    try:
        return path_between(_normalised(source, asked), target, asked.adapt)
    except MelMismatchError as error:
        raise Problem("mel-mismatch", f"{error}.", differences=list(error.differences)) from None


def known_config(name: str, known: Mapping[str, MelConfig]) -> MelConfig:
    """Return the mel config of a name.

    Raises:
        Problem: there is none.
    """
    found = canonical(name, known)
    if found is None:
        detail = f"There is no mel preset {name!r}{meant(name, known)}; known: {', '.join((*known, *ALIASES))}."
        raise Problem("unknown-preset", detail, presets=list(known))
    return known[found]


def longest(path: MelPath, max_frames: int) -> int:
    """Return the most frames of a mel for which the model gets at most `max_frames`."""
    most = max_frames
    while path.frames(most) > max_frames:
        most -= path.frames(most) - max_frames
    return most


def judge(mel: Mel, path: MelPath, mode: GuardMode) -> Verdict | None:
    """Return the guard's verdict on a checked mel (n_mels, frames) as it was sent; None where it has none.

    Raises:
        Problem: the mel is not typical, and the mode is strict.
    """
    verdict = None if mode == "off" else judged(torch.from_numpy(mel), path)
    if mode == "strict" and verdict is not None and not verdict.typical:
        raise Problem("unlikely-mel", verdict.message, guard=verdict.as_dict())
    return verdict


def check_mel(mel: Mel, config: MelConfig, max_frames: int) -> Mel:
    """Return a mel (n_mels, frames) or (1, n_mels, frames) as (n_mels, frames), or name the likely mistake.

    Raises:
        Problem: wrong shape, values that are not finite or implausible, or more than max_frames.
    """
    mel = _shaped(mel, config.n_mels)
    if mel.shape[1] > max_frames:
        detail = f"The mel is longer than the limit of {max_frames} frames: send it in parts."
        raise Problem("too-many-frames", detail, limit_frames=max_frames)
    check_finite(mel)
    check_values(config, float(mel.min()), float(mel.max()))
    return mel


def check_finite(mel: Mel) -> None:
    """Raise a Problem if a value of a mel is not finite."""
    fault = not_finite(mel)
    if fault is not None:
        raise Problem("invalid-mel", f"{fault}.")


def check_values(config: MelConfig, smallest: float, largest: float) -> None:
    """Raise a Problem if no mel of a config has values from `smallest` to `largest`."""
    values = mel_range(config)
    fault, (low, high) = values.fault(smallest, largest), values.plausible
    if fault is not None:
        found, expected = {"min": smallest, "max": largest}, {"min": low, "max": high}
        raise Problem("invalid-mel", fault, found=found, expected=expected)


def described_mel(config: MelConfig) -> dict[str, Any]:
    """Return a mel config as JSON, with its layout and range of values."""
    values = mel_range(config)
    told = {"layout": "(n_mels, frames)", "silence": values.silence, "plausible_range": list(values.plausible)}
    return {**to_dict(config), **told}


def _checked(mel: Mel, config: MelConfig, max_frames: int, mode: GuardMode) -> Mel:
    """Check a mel; if its values are refused, add what the guard recognises."""
    try:
        return check_mel(mel, config, max_frames)
    except Problem as problem:
        verdict = None
        if "found" in problem.fields and mode != "off":
            verdict = judged(torch.from_numpy(mel.reshape(mel.shape[-2:])), MelPath(config, config))
        if verdict is None or verdict.typical or verdict.cause == "not-speech":
            raise
        detail, guard = f"{problem.detail} {verdict.message}", verdict.as_dict()
        raise Problem(problem.kind, detail, **problem.fields, guard=guard) from None


def _shaped(mel: Mel, n_mels: int) -> Mel:
    if mel.ndim == 3 and mel.shape[0] == 1:
        mel = mel[0]
    if mel.ndim == 2 and mel.shape[0] == n_mels:
        return mel
    if mel.ndim == 3:
        detail = f"Send one mel per request, of shape ({n_mels}, frames), not a batch."
    elif mel.ndim != 2:
        detail = f"The mel must have the shape ({n_mels}, frames); this one has {mel.ndim} dimension."
    else:
        hint = bands_hint(mel.shape, n_mels)
        fault = f"The model takes {n_mels} mel bands as rows; this mel has {mel.shape[0]} rows"
        detail = f"{fault}; {hint}." if hint else f"{fault}."
    raise Problem("invalid-mel", detail)


def _recognised(asked: Asked, target: MelConfig, mel: Mel | None) -> MelConfig:
    """Return the config that a mel looks like; the model's own for what is no mel, which is refused later."""
    if asked.mean is not None or asked.variance is not None:
        raise invalid_parameter("preset", "auto takes no mean and variance: name the preset that they belong to")
    if mel is None or mel.ndim not in (2, 3) or not np.isfinite(mel).all():
        return target
    try:
        return recognised_contract(mel.reshape(mel.shape[-2:]) if mel.shape[0] == 1 else mel, target)
    except UnsureError as error:
        raise Problem("unsure-preset", str(error), likeliest=error.as_dicts()) from None
    except ValueError:
        return target


def _normalised(source: MelConfig, asked: Asked) -> MelConfig:
    given = {"mean": asked.mean, "variance": asked.variance}
    missing = [name for name, values in given.items() if values is None]
    if len(missing) == 2:
        return source
    if missing:
        raise invalid_parameter(missing[0], "mean and variance come together")
    mean, variance = (_numbers(name, values, source.n_mels) for name, values in given.items())
    try:
        return with_statistics(source, (mean, variance))
    except ConfigError:
        raise invalid_parameter("variance", "must be positive for every band") from None


def _numbers(name: str, values: str | Sequence[float] | None, n_mels: int) -> tuple[float, ...]:
    try:
        found = tuple(map(float, values.split(",") if isinstance(values, str) else values or ()))
    except ValueError:
        found = ()
    if len(found) != n_mels or not all(map(math.isfinite, found)):
        raise invalid_parameter(name, f"must be {n_mels} finite numbers, one for each band")
    return found
