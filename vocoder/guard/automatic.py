"""`preset=auto`: recognise the mel config of a mel."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from vocoder.adapt.path import bands_hint, pass_one_of
from vocoder.guard.guard import Guard, fills_a_range, guards, looks_transposed
from vocoder.guard.verdict import UNSURE, fault, remedy, unsure
from vocoder.layers.recogniser import Guess, Recognition
from vocoder.mel.config import PRESETS, MelConfig
from vocoder.mel.conventions import TRANSPOSED, convention_of, layouts
from vocoder.mel.values import finite_values, mel_range


class UnsureError(ValueError):
    """A mel's convention is uncertain, or no mel config describes it; `likeliest` starts with the likeliest."""

    def __init__(self, message: str, likeliest: tuple[Guess, ...] = ()) -> None:
        super().__init__(message)
        self.likeliest = likeliest


def recognised_config(mel: Tensor | np.ndarray, own: MelConfig) -> MelConfig:
    """Recognise the mel config of a mel (n_mels, frames); `own`, the model's, if the convention is the same.

    Raises an UnsureError if it is unclear; the message names the two likeliest conventions, or the mel's fault.
    """
    mel = finite_values(mel).cpu()
    guard, across = map({guard.mel_config.n_mels: guard for guard in guards()}.get, mel.shape)
    if guard is None:
        return _by_bands(mel.shape, own)
    if (scaled := guard.scaled_preset(mel)) is not None:
        return scaled
    found = guard.recognise(mel)
    best = found.best.convention
    if across is not None and looks_transposed(mel, guard, across):
        why = f"cannot read this mel. {fault(TRANSPOSED, n_mels=mel.shape[1]).message}"
    elif best.preset is None and (mapped := fills_a_range(mel)) is not None:
        why = f"cannot read this mel. {mapped.message}"
    elif found.certain and best == convention_of(own):
        return own
    elif best.mel_config is None and (explained := _explanation(guard, mel, found, own)):
        why = f"cannot read this mel. {explained}"
    elif best.mel_config is None or not found.certain:
        why = f"could not recognise this mel. {unsure(found.likeliest)}"
    elif (like := layouts()[best.layout].like) is not None:
        advice = remedy(best, own) or "compute the mel with the model's mel config"
        why = f"cannot tell {layouts()[best.layout].preset} and {like} apart: {advice}"
    else:
        return best.mel_config
    raise UnsureError(f"preset=auto {why}", found.likeliest)


def _explanation(guard: Guard, mel: Tensor, found: Recognition, target: MelConfig) -> str:
    """Describe a mel whose convention no mel config has, and say what to pass; empty if that is unclear."""
    own = guard.mel_config
    verdict = guard.check(mel, target=target)
    if verdict.typical or verdict.cause == UNSURE:
        return ""
    if mel_range(own).fault(float(mel.min()), float(mel.max())) is not None:
        return verdict.message
    return f"{verdict.message} If it does follow the {own.name} preset, {pass_one_of((own.name,), target)}."


def _by_bands(shape: Sequence[int], own: MelConfig) -> MelConfig:
    """Return the only mel config with the same number of bands as a mel (n_mels, frames), or the model's."""
    found = [config for config in (own, *PRESETS.values()) if config.n_mels == shape[0]]
    if len({*found}) == 1 or own.n_mels == shape[0]:
        return found[0]
    hint = bands_hint(shape, own.n_mels, own) or "name the preset of this mel (n_mels, frames)"
    raise UnsureError(f"preset=auto knows no mels with {shape[0]} bands: {hint}")
