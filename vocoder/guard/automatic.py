"""`preset=auto`: the mel config of a mel, recognised from the mel itself."""

import numpy as np
from torch import Tensor

from vocoder.adapt.path import pass_one_of
from vocoder.adapt.shape import bands_hint
from vocoder.guard.guard import Guard, guard_of, turned
from vocoder.guard.verdict import UNSURE, fault, recognised, remedy, unsure
from vocoder.layers.recogniser import Guess, Recognition
from vocoder.mel.config import PRESETS, MelConfig
from vocoder.mel.conventions import TRANSPOSED, convention_of, indistinguishable, layouts, never_recognised
from vocoder.mel.values import finite_values, mel_range


class UnsureError(ValueError):
    """The convention of a mel is uncertain, or no mel config describes it; `likeliest` has the likeliest first."""

    def __init__(self, message: str, likeliest: tuple[Guess, ...] = ()) -> None:
        super().__init__(message)
        self.likeliest = likeliest


def recognised_config(mel: Tensor | np.ndarray, own: MelConfig) -> MelConfig:
    """Recognise the mel config of a mel (n_mels, frames): `own` for all mels of the values of the model's.

    Raises an UnsureError if it is unclear; the text names the two likeliest conventions, or what is wrong with the mel.
    """
    if mel.ndim != 2:
        raise ValueError(f"a mel is (n_mels, frames), not {tuple(mel.shape)}")
    guard, across = (guard_of(size) for size in mel.shape)
    if guard is None:
        return _by_bands(tuple(mel.shape), own)
    if (scaled := guard.scaled_preset(finite_values(mel).cpu())) is not None:
        return _told_apart(scaled, own)
    found = guard.recognise(mel)
    if across is not None and turned(mel, guard, across):
        message = f"preset=auto cannot read this mel. {fault(TRANSPOSED, n_mels=mel.shape[1]).message}"
        raise UnsureError(message, found.likeliest)
    best = found.best.convention
    if found.certain and best == convention_of(own):
        return own
    if best.mel_config is None and (said := _said(guard, mel, found, own)):
        raise UnsureError(f"preset=auto cannot read this mel. {said}", found.likeliest)
    if best.mel_config is None or not found.certain:
        names = never_recognised(mel.shape[0])
        message = f"preset=auto does not know what this mel is. {unsure(found.likeliest)}"
        raise UnsureError(f"{message} It never recognises {names}." if names else message, found.likeliest)
    return _told_apart(best.mel_config, own, found.likeliest)


def _told_apart(found: MelConfig, own: MelConfig, likeliest: tuple[Guess, ...] = ()) -> MelConfig:
    """Return a recognised mel config, unless the recogniser takes mels of other presets for it."""
    convention, others = convention_of(found), indistinguishable(found)
    if convention is not None and any(name in others for name in layouts()[convention.layout].like):
        names = " or ".join((found.name, *others))
        advice = pass_one_of((found.name, *others), own) if found.name in PRESETS else remedy(convention, own)
        raise UnsureError(f"preset=auto cannot tell {names} apart: {advice}", likeliest)
    return found


def _said(guard: Guard, mel: Tensor | np.ndarray, found: Recognition, target: MelConfig) -> str:
    """Return what a mel without a mel config looks like, and what to pass; empty if that is unclear."""
    own = guard.mel_config
    verdict = guard.check(mel, target=target)
    seen = recognised(found, own, target) if verdict.cause == "typical" else verdict
    if seen.cause == UNSURE:
        return ""
    if mel_range(own).fault(float(mel.min()), float(mel.max())) is not None:
        return seen.message
    return f"{seen.message} If it does follow the {own.name} preset, {pass_one_of((own.name,), target)}."


def _by_bands(shape: tuple[int, ...], own: MelConfig) -> MelConfig:
    """Return the only mel config with as many bands as a mel (n_mels, frames)."""
    n_mels = shape[0]
    known = [own, *(config for config in PRESETS.values() if config != own)]
    found = [config for config in known if config.n_mels == n_mels]
    if len(found) == 1 or own.n_mels == n_mels:
        return found[0]
    hint = bands_hint(shape, own.n_mels, own) or "name the preset of this mel (n_mels, frames)"
    raise UnsureError(f"preset=auto knows no mels of {n_mels} bands: {hint}")
