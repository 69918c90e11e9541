"""Convert mels to a model's mel config, whole or in pieces, and align the model's audio with them in time.

For mels of a wrong shape, or that cannot be converted, messages advise which preset to pass, or which model to use.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from vocoder.adapt.adapter import Adapter, adapter_between, delay_between, framed_as
from vocoder.directories import MODELS
from vocoder.mel.config import PRESETS, MelConfig
from vocoder.mel.convert import MelMismatchError, convert, differences
from vocoder.mel.values import mel_range
from vocoder.sampling import AdaptMode
from vocoder.stages import Track, inference

LIBROSA_BANDS = 128
"""librosa's default number of bands"""


class MelPath:
    """The conversion from mels of the config `source` to a model's `target`, whose audio is late by `delay` samples."""

    def __init__(self, source: MelConfig, target: MelConfig, delay: int = 0, adapter: Adapter | None = None) -> None:
        self.source, self.target, self.delay, self.adapter = source, target, delay, adapter
        self.own = source == target
        """whether mels pass unchanged"""
        self.adapted = None if adapter is None else adapter.name
        """name of the adapter"""
        self.lookahead = 0 if adapter is None else adapter.times.lookahead
        """number of later source frames that a frame depends on"""

    def __repr__(self) -> str:
        delay = f", {self.delay} samples later" if self.delay else ""
        return f"<MelPath from {self.source.name} to {self.target.name}: {self.remark or self.how}{delay}>"

    @property
    def how(self) -> Literal["own", "exact", "adapter"]:
        """Kind of conversion: none (`own`), `exact`, or through an `adapter`."""
        return "own" if self.own else "exact" if self.adapter is None else "adapter"

    @property
    def remark(self) -> str:
        """The adapter that is used, and the shipped model that needs none; empty for exact conversions."""
        if self.adapter is None:
            return ""
        better = model_for(self.source, "off")
        return f"through the {self.adapted} adapter" + (f", which {better} does not need" if better else "")

    def samples(self, frames: int) -> int:
        """Return the duration of source frames in the model's samples."""
        return round(frames * self.source.frame_seconds * self.target.sample_rate)

    def frames(self, frames: int) -> int:
        """Return the number of model frames for source frames."""
        return -(-self.samples(frames) // self.target.hop_length)

    def longest(self, frames: int) -> int:
        """Return the largest number of source frames that stays within `frames`, both as given and converted."""
        most = frames
        while self.frames(most) > frames:
            most -= self.frames(most) - frames
        return most

    def convert(self, mel: Tensor) -> Tensor:
        """Convert a whole mel (n_mels, frames) or (B, n_mels, frames), whose number of frames may change."""
        if self.adapter is None:
            return self.exact(mel)
        if mel.ndim == 3:
            return torch.stack([self.convert(item) for item in mel])
        converter = Converter(self)
        return torch.cat([converter.push(mel), converter.finish().to(mel.device, mel.dtype)], dim=1)

    def exact(self, mel: Tensor) -> Tensor:
        """Convert value by value. Values below digital silence, which acoustic models predict, count as silence."""
        if self.own:
            return mel.clamp_min(mel_range(self.target).silence)
        return convert(mel, framed_as(self.source, self.target), self.target)


class Converter:
    """Converts the mel of one utterance in pieces, with the same result as `MelPath.convert` on the whole mel."""

    def __init__(self, path: MelPath) -> None:
        self.path = path
        self._decoded = Track()
        self._made = 0

    def push(self, mel: Tensor) -> Tensor:
        """Take the next source frames (n_mels, frames) and return the model frames that are ready, possibly none."""
        adapter = self.path.adapter
        if adapter is None:
            return self.path.exact(mel)
        framed = framed_as(self.path.source, adapter.source)
        decoded = convert(mel.detach().cpu().double(), framed, adapter.source)[: adapter.model.config.looked_at]
        self._decoded.append(decoded[None], mel.shape[1])
        stop = self._made
        while adapter.times.needed(stop)[1] < self._decoded.end:
            stop += 1
        return self._advance(adapter, stop, None).to(mel.device, mel.dtype)

    def finish(self) -> Tensor:
        """End the mel and return the remaining model frames (n_mels, frames), float32 on the CPU, possibly none."""
        adapter, frames = self.path.adapter, self._decoded.end
        if adapter is None or not frames:
            return torch.empty(self.path.target.n_mels, 0, dtype=torch.float32, device="cpu")
        return self._advance(adapter, self.path.frames(frames), frames).float()

    @inference()
    def _advance(self, adapter: Adapter, stop: int, end: int | None) -> Tensor:
        """Return the next model frames, up to `stop`, in float64; `end` is the number of source frames if known."""
        track, times = self._decoded, adapter.times
        windows = times.windows(track.window(track.first, track.end)[0], self._made, stop, track.first, end)
        self._made = stop
        track.forget(min(times.needed(stop)[0], track.end - 1))
        made: Tensor = adapter.model(windows)
        return convert(made.T, adapter.target, self.path.target)


class Placement:
    """Aligns the audio of one utterance with its mel of so many `frames`, which may be set later, chunk by chunk."""

    def __init__(self, path: MelPath, frames: int | None = None) -> None:
        self.path = path
        self.frames = frames
        self._delayed: Tensor | None = None
        self._done = 0

    def place(self, x: Tensor) -> Tensor:
        """Take the next audio x (..., T) of the model and return the samples (..., T) that are ready."""
        if self.path.delay:
            delayed = x.new_zeros(*x.shape[:-1], self.path.delay) if self._delayed is None else self._delayed
            joined = torch.cat([delayed, x], dim=-1)
            x, self._delayed = joined[..., : x.shape[-1]], joined[..., x.shape[-1] :]
        if self.frames is not None:
            x = x[..., : max(self.path.samples(self.frames) - self._done, 0)]
        self._done += x.shape[-1]
        return x


def path_between(source: MelConfig, target: MelConfig, adapt: AdaptMode = "on") -> MelPath:
    """Return the conversion between two configs, exact or through an adapter; raises a MelMismatchError without one."""
    if adapt not in ("on", "off"):
        raise ValueError(f"adapt must be 'on' or 'off', not {adapt!r}")
    if (path := _path(source, target, adapt)) is None:
        raise MelMismatchError(source, target, differences(source, target), model_for(source, adapt))
    return path


def model_for(source: MelConfig, adapt: AdaptMode) -> str | None:
    """Return the shipped model that accepts mels of a mel config, or None; with `adapt` "off" without an adapter."""
    return next((model for name, model in MODELS.items() if _path(source, PRESETS[name], adapt) is not None), None)


def takes(source: MelConfig, target: MelConfig) -> bool:
    """Return whether a model of mel config `target` accepts mels of `source`, exactly or through an adapter."""
    return _path(source, target, "on") is not None


def _path(source: MelConfig, target: MelConfig, adapt: AdaptMode) -> MelPath | None:
    if not differences(source, target):
        return MelPath(source, target)
    if (delay := delay_between(source, target, target.sample_rate)) is not None:
        return MelPath(source, target, delay)
    adapter = adapter_between(source, target) if adapt == "on" else None
    return None if adapter is None else MelPath(source, target, adapter.delay(source, target) or 0, adapter)


def pass_one_of(presets: Sequence[str], target: MelConfig) -> str:
    """Advise which of these presets to pass to a model of config `target`, and which model to use for the others."""
    taken = [name for name in presets if takes(PRESETS[name], target)]
    advice = [f"pass preset={' or '.join(taken)}"] if taken else []
    models = {name: model_for(PRESETS[name], "on") for name in presets if name not in taken}
    for model in dict.fromkeys(models.values()):
        names = " or ".join(name for name, its in models.items() if its == model)
        advice.append(f"use the shipped model {model!r} for {names}")
    return ", or ".join(advice)


def shape_fault(shape: Sequence[int], source: MelConfig, target: MelConfig) -> str | None:
    """Explain why a mel or batch has not the shape of the config `source`, for a model of `target`; None if it has."""
    n_mels = source.n_mels
    if len(shape) in (2, 3) and shape[-2] == n_mels and 0 not in shape:
        return None
    one, several = f"({n_mels}, frames)", f"(B, {n_mels}, frames)"
    right = {2: one, 3: several}.get(len(shape), f"{one} or {several}")
    why = "" if n_mels == target.n_mels else f": {source.name!r} has {n_mels} bands"
    fault = f"the mel must be {right} with at least one frame, not {tuple(shape)}{why}"
    hint = bands_hint(shape, n_mels, target) if len(shape) in (2, 3) and shape[-2] != n_mels else ""
    return f"{fault}; {hint}" if hint else fault


def bands_hint(shape: Sequence[int], n_mels: int, target: MelConfig) -> str:
    """Return why a mel (..., rows, columns) for a model of `target` may not have `n_mels` bands; empty if unclear."""
    rows, columns = shape[-2:]
    turned = columns == n_mels or (not _presets_of(rows) and (bool(_presets_of(columns)) or columns == LIBROSA_BANDS))
    bands = columns if turned else rows
    hints = ["it looks transposed, (frames, n_mels) instead of (n_mels, frames)"] if turned else []
    if bands != n_mels and (names := _presets_of(bands)):
        if taken := [name for name in names if takes(PRESETS[name], target)]:
            own = ", or none for the model's own" if bands == target.n_mels else ""
            hints.append(f"presets with {bands} bands are {', '.join(taken)}: pass preset=NAME{own}")
            models = () if own else (name for name in names if name in MODELS)
            hints += [f"the shipped model {MODELS[name]!r} uses {name} itself" for name in models]
        else:
            model = model_for(PRESETS[names[0]], "on")
            hints.append(f"use the shipped model {model!r} for presets with {bands} bands: {', '.join(names)}")
    elif bands == LIBROSA_BANDS:
        hints.append(f"{bands} bands are librosa's default: compute {n_mels}, with the model's other settings too")
    if columns == 1 and not turned and bands != n_mels and not _presets_of(rows):
        hints.append("if these are the values of a band, iterate over frames instead, as over mel.T")
    if columns == n_mels and (names := _presets_of(rows)):  # 100 x 80: 80 bands transposed, or 80 frames of 100 bands
        taken = [name for name in names if takes(PRESETS[name], target)]
        advice = f"presets with these are {', '.join(taken)}"
        advice = advice if taken else f"use the shipped model {model_for(PRESETS[names[0]], 'on')!r}"
        hints.append(f"or its {rows} rows are bands: {advice}")
    return "; ".join(hints)


def _presets_of(bands: int) -> list[str]:
    return [name for name, config in PRESETS.items() if config.n_mels == bands]
