"""Named mel presets in requests: which there are, and whether a model can take their mels."""

from __future__ import annotations

from server.problems import Problem
from vocoder.mel.config import PRESETS, MelConfig
from vocoder.mel.convert import MelMismatchError, differences

__all__ = ["known_preset", "source_config"]


def known_preset(name: str) -> MelConfig:
    """Return the mel contract of a preset.

    Raises:
        Problem: 422 there is none of that name.
    """
    if name not in PRESETS:
        known = list(PRESETS)
        raise Problem(422, "unknown-preset", f"The mel presets are {', '.join(known)}.", presets=known)
    return PRESETS[name]


def source_config(name: str | None, target: MelConfig) -> MelConfig:
    """Return the contract that a mel was made with: a preset's, or the model's own where none is named.

    Raises:
        Problem: 422 no such preset, or its mels cannot be converted to `target` exactly; the detail says why.
    """
    if name is None:
        return target
    source = known_preset(name)
    found = differences(source, target)
    if found:
        raise Problem(422, "mel-mismatch", f"{MelMismatchError(source, target, found)}.", differences=list(found))
    return source
