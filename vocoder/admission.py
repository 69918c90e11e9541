"""Whether a mel is admitted: its mel config, shape and values, its conversion to the model's, and the guard's verdict.

Python, the commands, bulk runs and the server all ask here: `admit` for a whole mel, `StreamAdmission` for one that
comes in pieces. Shapes are told in `adapt.shape`, ranges of values in `mel.values`, verdicts in `guard.guard`.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vocoder.adapt.path import Converter, MelPath, Placement, model_for, path_between
from vocoder.adapt.shape import shape_fault
from vocoder.guard.automatic import UnsureError, recognised_config
from vocoder.guard.guard import guards, judge
from vocoder.guard.verdict import Verdict
from vocoder.mel.config import PRESETS, MelConfig
from vocoder.mel.config_file import AUTO, load_mel_config
from vocoder.mel.convert import differences, plain
from vocoder.mel.sharpening import sharpening_of, strength_of
from vocoder.mel.values import MelError, bounds, finite_values, mel_range
from vocoder.sampling import AdaptMode, GuardMode, Preset

CPU = torch.device("cpu")
ENOUGH_FRAMES = 128
"""frames that suffice to recognise a mel config"""
NAMELESS = ("not-speech", "silence")
"""causes that say nothing of values that no mel has"""
QUIET_FRAMES = 64
"""In so many frames every mel has a band near silence; fewer may all be loud."""


class UnlikelyMelError(ValueError):
    """A mel is not typical of its mel config. The text says what it looks like, and so does `verdict`."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.message)
        self.verdict = verdict


class MelTooLongError(ValueError):
    """A mel has more frames than are allowed, which are `limit`."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the mel is longer than the limit of {limit} frames: send it in parts")
        self.limit = limit


@dataclass(frozen=True)
class Admitted:
    """A mel that the model may have.

    Attributes:
        mel: (B, n_mels, frames) in the model's own mel config, float32.
        path: how it was converted.
        frames: of the mel as it was given.
        verdicts: of the guard, on those items that it can judge; empty if it was not asked.
        given: the mel as it was given, whose kind the audio takes.
        strength: how far the first item is sharpened at its end, 0 to 1.
    """

    mel: Tensor
    path: MelPath
    frames: int
    verdicts: tuple[Verdict, ...]
    given: Any
    strength: float = 0.0

    @property
    def doubts(self) -> tuple[Verdict, ...]:
        """The verdicts on items that are not typical."""
        return tuple(verdict for verdict in self.verdicts if not verdict.typical)

    def sharpened(self, sharpen: float | None) -> "Admitted":
        """Return it with its mel sharpened where `sharpen` is asked for; models are to take it with `sharpen` 0."""
        sharpening = sharpening_of(self.path.target, self.mel.device, sharpen)
        return replace(self, mel=sharpening.push(self.mel), strength=sharpening.reached)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in the model's own mel config, without the batch if one mel was given."""
        return tuple(self.mel.shape if self.given.ndim == 3 else self.mel.shape[1:])

    def returned(self, x: Tensor) -> Any:
        """Return the audio (B, T) of the model, placed in time, in the kind and shape that the mel was given in."""
        x = Placement(self.path, self.frames).place(x)
        x = x if self.given.ndim == 3 else x[0]
        return x.to(self.given.device) if isinstance(self.given, Tensor) else x.cpu().numpy()


def path_of(preset: Preset, target: MelConfig, adapt: AdaptMode = "on", mel: Any = None) -> MelPath:
    """Return how mels of a preset, as of `Sampling`, reach a model; of a batch, "auto" recognises the first item.

    Raises:
        UnsureError: the preset is "auto" and the mel is unclear, or missing.
        ConfigError: there is no such mel config.
        MelMismatchError: there is no conversion.
    """
    if preset is None or isinstance(preset, MelConfig):
        source = preset or target
    elif preset != AUTO:
        source = load_mel_config(preset)
    elif not isinstance(mel, (Tensor, np.ndarray)) or mel.ndim not in (2, 3) or 0 in mel.shape:
        raise UnsureError("preset=auto needs the mel, (n_mels, frames) or (B, n_mels, frames), to recognise it")
    else:
        values = finite_values(mel)
        source = recognised_config(values[0] if values.ndim == 3 else values, target)
    return path_between(source, target, adapt)


def admit(
    mel: Any,
    target: MelConfig,
    preset: Preset = None,
    adapt: AdaptMode = "on",
    guard: GuardMode = "off",
    *,
    device: torch.device = CPU,
    max_frames: int | None = None,
) -> Admitted:
    """Check a mel, convert it to the model's mel config, and have the guard judge it.

    Args:
        mel: (n_mels, frames) or (B, n_mels, frames), tensor or array.
        target: the model's own mel config.
        preset: the mel config that the mel was made with; "auto" recognises it from the first item.
        adapt: "off" refuses mels that need an adapter.
        guard: "strict" refuses mels that are not typical, "off" does not judge.
        device: of the result.
        max_frames: the most frames, as given and for the model.

    Raises:
        MelError: the mel is not finite, or has a shape or values that no mel of its mel config has.
        UnsureError: the preset is "auto" and the mel does not tell which it is.
        MelMismatchError: there is no conversion.
        MelTooLongError: it has more than `max_frames`.
        UnlikelyMelError: the mel is not typical, and guard is "strict".
        ConfigError: there is no such mel config.
    """
    values = finite_values(mel)
    path = path_of(preset, target, adapt, values)
    if fault := shape_fault(values.shape, path.source.n_mels, path.target):
        raise MelError(fault)
    _check_length(values.shape[-1], path, max_frames)
    batch = values if values.ndim == 3 else values[None]
    _check_range(batch, path, guard)
    converted = path.convert(batch.to(device))
    pairs = () if guard == "off" else zip(batch, converted, strict=True)
    judged = tuple(heeded(judge(item, path, for_model), guard) for item, for_model in pairs)
    found = tuple(verdict for verdict in judged if verdict is not None)
    return Admitted(_possible(converted, path), path, batch.shape[2], found, mel)


def check(mel: Tensor | np.ndarray, path: MelPath) -> Verdict:
    """Judge a mel (n_mels, frames) as `admit` does: by the guard, and by the values that its mel config can have.

    Raises a ValueError if the mel is not two-dimensional or not finite, or no guard knows its mel config.
    """
    values, verdict = finite_values(mel), judge(mel, path) or next(guards()).check(mel, path.source)
    fault = _range_fault(*bounds(values), path.source)
    if verdict.typical and fault is None:
        return replace(verdict, smoothness=strength_of(path.convert(values), path.target))
    if fault is None or not (verdict.typical or verdict.cause in NAMELESS):
        return verdict
    return replace(verdict, typical=False, typicality=0.0, cause="range", message=fault)


def heeded(verdict: Verdict | None, guard: GuardMode) -> Verdict | None:
    """Return a verdict; raise an `UnlikelyMelError` if the mel is not typical and guard is "strict"."""
    if guard == "strict" and verdict is not None and not verdict.typical:
        raise UnlikelyMelError(verdict)
    return verdict


class StreamAdmission:
    """Admits the mel of one utterance piece by piece; `placement` places its audio in time.

    Arguments are as of `admit`; "strict" refuses a mel whose start is not typical.
    """

    def __init__(
        self, path: MelPath, guard: GuardMode = "off", device: torch.device = CPU, max_frames: int | None = None
    ) -> None:
        self.path = path
        self.frames = 0
        """of the mel so far, as it was given"""
        self.guard = guard
        self._device, self._max_frames = device, max_frames
        self.placement = Placement(path)
        self._converter = Converter(path)
        self._smallest = math.inf
        self.unjudged: list[Tensor] | None = None if guard == "off" else []
        """pieces at the start of the mel; None once the guard has judged them, or if it is not to"""

    def take(self, piece: Any) -> Tensor:
        """Take the next frames (n_mels, frames) and return those (n_mels, frames) that the model can have, maybe none.

        The piece may be a whole mel that is admitted already. Raises a MelError or a MelTooLongError, as `admit`.
        """
        if isinstance(piece, Admitted):
            self.frames += piece.frames
            return piece.mel[0]
        values, config = finite_values(piece, self.frames), self.path.source
        if values.ndim != 2:
            raise MelError(f"a stream takes one mel (n_mels, frames), not one of {values.ndim} dimensions")
        if fault := shape_fault(values.shape, config.n_mels, self.path.target):
            raise MelError(fault)
        self.frames += values.shape[1]
        _check_length(self.frames, self.path, self._max_frames)
        quiet = mel_range(config).silence if self.frames < QUIET_FRAMES else math.inf  # a piece may be loud throughout
        self._smallest = min(self._smallest, float(values.min()))
        _check_range(values, self.path, self.guard, min(self._smallest, quiet))
        if self.unjudged is not None:
            self.unjudged.append(values.cpu())
        return _possible(self._converter.push(values.to(self._device)), self.path)

    def finish(self) -> Tensor:
        """End the mel and return the remaining frames (n_mels, frames) for the model, maybe none. Raises as `take`."""
        self.placement.frames = self.frames
        return _possible(self._converter.finish().to(self._device), self.path)

    def judge(self, last: bool = False) -> Verdict | None:
        """Return the guard's verdict on the start of the mel, once, when there are enough frames or at the `last`.

        Raises as `heeded`.
        """
        pieces = self.beginning(last)
        return heeded(judge(torch.cat(pieces, dim=1), self.path), self.guard) if pieces else None

    def beginning(self, last: bool = False) -> list[Tensor]:
        """Return the pieces that the guard should judge now; none for most of the time."""
        if not self.unjudged or not (last or self.frames >= ENOUGH_FRAMES):
            return []
        pieces, self.unjudged = self.unjudged, None
        return pieces


def _check_length(frames: int, path: MelPath, max_frames: int | None) -> None:
    if max_frames is not None and frames > (limit := path.longest(max_frames)):
        raise MelTooLongError(limit)


def _check_range(mel: Tensor, path: MelPath, guard: GuardMode, smallest: float | None = None) -> None:
    """Refuse values that no mel of a mel config has; the guard says what the first of these mels looks like.

    `smallest` is that of the mel (..., n_mels, frames) so far, if this is a piece.
    """
    config, (least, largest) = path.source, bounds(mel)
    smallest = least if smallest is None else smallest
    fault, (low, high) = _range_fault(smallest, largest, config), mel_range(config).plausible
    if fault is None:
        return
    details: dict[str, Any] = {"found": {"min": smallest, "max": largest}, "expected": {"min": low, "max": high}}
    verdict = None if guard == "off" else judge(mel if mel.ndim == 2 else mel[0], MelPath(plain(config), path.target))
    if verdict is not None and not verdict.typical and verdict.cause not in NAMELESS:
        fault = verdict.message if verdict.cause == "range" else f"{fault} {verdict.message}"
        details["guard"] = verdict.as_dict()
    raise MelError(fault, details)


def _range_fault(smallest: float, largest: float, config: MelConfig) -> str | None:
    """Return what is wrong with values from `smallest` to `largest`, and a preset of such bands that has them."""
    fault = mel_range(config).fault(smallest, largest)
    for name, other in PRESETS.items() if fault else ():
        if not differences(other, config) and mel_range(other).fault(smallest, largest) is None:
            model = model_for(other, "off")
            taken = f", which the shipped model {model!r} takes" if model else ""
            alone = "" if config in (plain(config), *PRESETS.values()) else " without mean and variance"
            return f"{fault} The values fit the preset {name}{taken}: pass preset={name}{alone}."
    return fault


def _possible(mel: Tensor, path: MelPath) -> Tensor:
    """Return a converted mel (..., n_mels, frames), unless it has values that no mel does: adapters may make any."""
    if path.own or not mel.numel():
        return mel
    found, (low, high) = {"min": float(mel.min()), "max": float(mel.max())}, mel_range(path.target).plausible
    if low <= found["min"] and found["max"] <= high:
        return mel
    fault = f"converted from {path.source.name!r}, the values are beyond those of the model's mels"
    raise MelError(f"{fault}: is it the right preset?", {"found": found, "expected": {"min": low, "max": high}})
