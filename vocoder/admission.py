"""Admit mels: check shape and values, convert them to the model's mel config, and apply the guard.

The Python API, the commands, bulk runs and the server all use this module: `admit` for a whole mel, `StreamAdmission`
for one that arrives in pieces. `adapt.path` explains wrong shapes, `mel.values` wrong values, `guard.guard` the rest.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vocoder.adapt.path import Converter, MelPath, Placement, model_for, path_between, shape_fault
from vocoder.guard.automatic import UnsureError, recognised_config
from vocoder.guard.guard import QUIET_FRAMES, guards, judge
from vocoder.guard.verdict import Verdict
from vocoder.mel.config import PRESETS, MelConfig
from vocoder.mel.config_file import AUTO, load_mel_config
from vocoder.mel.convert import as_it_is, differences, plain
from vocoder.mel.sharpening import sharpening_of
from vocoder.mel.values import MelError, bounds, finite_values, mel_range
from vocoder.sampling import AdaptMode, Device, GuardMode, Preset

ENOUGH_FRAMES = 128  # frames that are enough to recognise a mel config
ABSURD = 1e15  # values beyond, of which the guard's squares would overflow, are judged like this one
FEW = 0.001  # up to this share of impossible values, single values are wrong, not the scale
NAMELESS = ("not-speech", "silence")  # causes that do not explain impossible values


class UnlikelyMelError(ValueError):
    """A mel is not typical of its mel config. The message and `verdict` say what it looks like."""

    __reduce__ = as_it_is

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.message)
        self.verdict = verdict


class MelTooLongError(ValueError):
    """A mel has more than `limit` frames."""

    __reduce__ = as_it_is

    def __init__(self, limit: int) -> None:
        super().__init__(f"the mel is longer than the limit of {limit} frames: send it in parts")
        self.limit = limit


@dataclass(frozen=True)
class Admitted:
    """A mel that was checked and converted for the model."""

    mel: Tensor
    """(B, n_mels, frames) in the model's own mel config, float32"""
    path: MelPath
    """how it was converted"""
    frames: int
    """number of frames of the mel as given"""
    verdicts: tuple[Verdict, ...]
    """the guard's verdicts on the items that it can judge; empty if the guard is off"""
    given: Any
    """the mel as given; the audio is returned as the same kind, tensor or array"""
    strength: float = 0.0
    """strength at which the end of the first item is sharpened, 0 to 1"""

    @property
    def doubts(self) -> tuple[Verdict, ...]:
        """The verdicts on items that are not typical."""
        return tuple(verdict for verdict in self.verdicts if not verdict.typical)

    def sharpened(self, sharpen: float | None) -> "Admitted":
        """Return a copy with the mel sharpened; synthesize it with `sharpen` 0."""
        sharpening = sharpening_of(self.path.target, self.mel.device, sharpen)
        return replace(self, mel=sharpening.push(self.mel), strength=sharpening.reached)

    def returned(self, x: Tensor) -> Any:
        """Align the model's audio (B, T) in time and return it as the kind, shape and device of the given mel."""
        x = Placement(self.path, self.frames).place(x)
        x = x if self.given.ndim == 3 else x[0]
        return x.to(self.given.device) if isinstance(self.given, Tensor) else x.cpu().numpy()


def as_admitted(mel: NDArray[np.float32], target: MelConfig, device: Device = "cpu") -> Admitted:
    """Return a converted mel (n_mels, frames), which was admitted for a model of config `target` before, as admitted.

    Its values may lie beyond those of recordings, since adapters and sharpening do not respect that range.
    """
    return Admitted(torch.from_numpy(mel)[None].to(device), MelPath(target, target), mel.shape[1], (), mel)


def path_of(preset: Preset, target: MelConfig, adapt: AdaptMode = "on", mel: Any = None) -> MelPath:
    """Return the conversion from a preset (see `Sampling`) to a model; "auto" recognises the mel, or its first item."""
    if preset is None or isinstance(preset, MelConfig):
        source = preset or target
    elif preset != AUTO:
        source = load_mel_config(preset)
    elif not isinstance(mel, (Tensor, np.ndarray)) or mel.ndim not in (2, 3) or 0 in mel.shape:
        raise UnsureError("preset=auto needs a mel (n_mels, frames) or (B, n_mels, frames) to recognise")
    else:
        source = recognised_config(mel[0] if mel.ndim == 3 else mel, target)
    return path_between(source, target, adapt)


def admit(
    mel: Any,
    target: MelConfig,
    preset: Preset = None,
    adapt: AdaptMode = "on",
    guard: GuardMode = "off",
    *,
    device: Device = "cpu",
    max_frames: int | None = None,
) -> Admitted:
    """Check a mel, convert it to the model's mel config `target` on a device, and apply the guard.

    Raises the errors of `Synthesizer.synthesize` and `Synthesizer.path`, and a MelTooLongError for more than
    `max_frames` frames, as given or after conversion.
    """
    values = finite_values(mel)
    path = path_of(preset, target, adapt, values)
    if fault := shape_fault(values.shape, path.source, path.target):
        raise MelError(fault)
    _check_length(values.shape[-1], path, max_frames)
    batch = values if values.ndim == 3 else values[None]
    _check_range(batch, path, guard)
    converted = path.convert(batch.to(device))
    pairs = () if guard == "off" else zip(batch, converted, strict=True)
    judged = tuple(heeded(judge(item, path, for_model), guard) for item, for_model in pairs)
    verdicts = tuple(verdict for verdict in judged if verdict is not None)
    converted = _possible(converted, path, () if guard == "off" else batch[:1])
    return Admitted(converted, path, batch.shape[2], verdicts, mel)


def check(mel: Tensor | np.ndarray, path: MelPath) -> Verdict:
    """Judge a mel as `Synthesizer.check` does: by the guard, and by the range of values of its mel config."""
    values, verdict = finite_values(mel), judge(mel, path) or next(guards()).check(mel, path.source)
    fault = _range_fault(*bounds(values), path.source)
    if verdict.typical and fault is None:
        sharpening = sharpening_of(path.target, values.device)
        sharpening.push(path.convert(values)[None])
        return replace(verdict, smoothness=sharpening.reached)
    if fault is None or not (verdict.typical or verdict.cause in NAMELESS):
        return verdict
    return replace(verdict, typical=False, typicality=0.0, cause="range", message=fault)


def heeded(verdict: Verdict | None, guard: GuardMode) -> Verdict | None:
    """Return the verdict, or raise an `UnlikelyMelError` if guard is "strict" and the mel is not typical."""
    if guard == "strict" and verdict is not None and not verdict.typical:
        raise UnlikelyMelError(verdict)
    return verdict


class StreamAdmission:
    """Admits the mel of one utterance piece by piece, as `admit` does; `placement` aligns its audio in time."""

    def __init__(
        self, path: MelPath, guard: GuardMode = "off", device: Device = "cpu", max_frames: int | None = None
    ) -> None:
        self.path = path
        self.frames = 0  # number of frames received so far
        self.guard = guard
        self.device, self._max_frames = torch.device(device), max_frames
        self.placement = Placement(path)
        self._converter = Converter(path)
        self._smallest = math.inf
        self.unjudged: list[Tensor] | None = None if guard == "off" else []
        """pieces from the start of the mel; None if the guard is off or has judged them"""

    def take(self, piece: Any) -> Tensor:
        """Convert the next frames (n_mels, frames), or a whole admitted mel, as far as possible; raises as `admit`."""
        if isinstance(piece, Admitted):
            self.frames += piece.frames
            return piece.mel[0]
        values, config = finite_values(piece, self.frames), self.path.source
        check_single(values.ndim)
        if fault := shape_fault(values.shape, config, self.path.target):
            raise MelError(fault)
        frames, smallest = self.frames + values.shape[1], min(self._smallest, float(values.min()))
        _check_length(frames, self.path, self._max_frames)
        quiet = mel_range(config).silence if frames < QUIET_FRAMES else math.inf  # a piece may be loud throughout
        _check_range(values, self.path, self.guard, min(smallest, quiet))
        self.frames, self._smallest = frames, smallest  # those of a refused piece do not count
        if self.unjudged is not None:
            self.unjudged.append(values.cpu())
        return _possible(self._converter.push(values.to(self.device)), self.path, self.unjudged or ())

    def finish(self) -> Tensor:
        """End the mel and return the remaining converted frames, possibly none. Raises the errors of `take`."""
        self.placement.frames = self.frames
        return _possible(self._converter.finish().to(self.device), self.path, self.unjudged or ())

    def judge(self, last: bool = False) -> Verdict | None:
        """Judge the start of the mel once, when enough frames are there or it is the `last`; raises as `heeded`."""
        pieces = self.beginning(last)
        return heeded(judge(torch.cat(pieces, dim=1), self.path), self.guard) if pieces else None

    def beginning(self, last: bool = False) -> list[Tensor]:
        """Return the pieces that the guard should judge now; usually none."""
        if not self.unjudged or not (last or self.frames >= ENOUGH_FRAMES):
            return []
        pieces, self.unjudged = self.unjudged, None
        return pieces


def check_single(dimensions: int) -> None:
    """Raise a MelError if a mel to stream has other than two dimensions."""
    if dimensions != 2:
        raise MelError(f"a stream takes one mel of 2 dimensions (n_mels, frames), not of {dimensions}")


def _check_length(frames: int, path: MelPath, max_frames: int | None) -> None:
    if max_frames is not None and frames > (limit := path.longest(max_frames)):
        raise MelTooLongError(limit)


def _check_range(mel: Tensor, path: MelPath, guard: GuardMode, smallest: float | None = None) -> None:
    """Refuse a mel (..., n_mels, frames) with impossible values; `smallest` is the smallest of a stream so far."""
    config, (least, largest) = path.source, bounds(mel)
    smallest = least if smallest is None else smallest
    fault, (low, high) = _range_fault(smallest, largest, config), mel_range(config).plausible
    if fault is None:
        return
    few = 0 < (outside := int(((mel < low) | (mel > high)).sum())) <= FEW * mel.numel()
    fault += f" Only {outside} of {mel.numel()} values are beyond these." if few else ""
    first = (mel if mel.ndim == 2 else mel[0]).clamp(-ABSURD, ABSURD)
    verdict = None if guard == "off" or few else judge(first, MelPath(plain(config), path.target))
    raise _refusal(fault, (smallest, largest), (low, high), verdict)


def _refusal(
    fault: str, found: tuple[float, float], expected: tuple[float, float], verdict: Verdict | None
) -> MelError:
    """Return the error about impossible values, after the likely reason if the verdict names one."""
    ranges = {"found": found, "expected": expected}
    details: dict[str, Any] = {name: {"min": low, "max": high} for name, (low, high) in ranges.items()}
    if verdict is not None and not verdict.typical and verdict.cause not in NAMELESS:
        fault = verdict.message if verdict.cause == "range" else f"{verdict.message} {fault}"
        details["guard"] = verdict.as_dict()
    return MelError(fault, details)


def _range_fault(smallest: float, largest: float, config: MelConfig) -> str | None:
    """Explain what is wrong with values from `smallest` to `largest`, naming a preset with these bands that fits."""
    fault = mel_range(config).fault(smallest, largest)
    for name, other in PRESETS.items() if fault else ():
        same = replace(other, magnitude_epsilon=config.magnitude_epsilon)
        if not differences(same, config) and mel_range(other).fault(smallest, largest) is None:
            model = model_for(other, "off")
            taken = f", which the shipped model {model!r} takes" if model else ""
            unscaled = "" if config in (plain(config), *PRESETS.values()) else " without mean and variance"
            return f"{fault} The values fit the preset {name}{taken}: pass preset={name}{unscaled}."
    return fault


def _possible(mel: Tensor, path: MelPath, given: Sequence[Tensor] | Tensor) -> Tensor:
    """Return a converted mel (..., n_mels, frames); raise if its values are impossible, as an adapter's may be.

    The guard says what the mel looked like as `given`, in pieces; none if the guard is off.
    """
    if path.own or not mel.numel():
        return mel
    found, expected = bounds(mel), mel_range(path.target).plausible
    if expected[0] <= found[0] and found[1] <= expected[1]:
        return mel
    verdict = judge(torch.cat(tuple(given), dim=1), path) if len(given) else None
    fault = f"After conversion from {path.source.name!r} the values are outside the range of the model's mels"
    raise _refusal(f"{fault}: check the preset.", found, expected, verdict)
