"""Which contracts a model accepts, how, and at which cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vocoder.adapt.path import MelPath, path_between
from vocoder.mel.config import PRESETS, MelConfig
from vocoder.mel.convert import MelMismatchError
from vocoder.mel.names import other_names

__all__ = ["accepted"]


def accepted(target: MelConfig, known: Mapping[str, MelConfig] = PRESETS) -> list[dict[str, Any]]:
    """Return each contract that a model of contract `target` accepts, as plain data.

    `aliases` are other names of the preset, `how` is `own`, `exact` or `adapter`. For adapters `pesq_lost` holds the
    measured loss by group of speech, and `lookahead` the frames that they look ahead.
    """
    return [_described(name, path) for name, path in _paths(target, known)]


def _paths(target: MelConfig, known: Mapping[str, MelConfig]) -> list[tuple[str, MelPath]]:
    found = []
    for name, config in known.items():
        try:
            found.append((name, path_between(config, target)))
        except MelMismatchError:
            continue
    return found


def _described(name: str, path: MelPath) -> dict[str, Any]:
    described: dict[str, Any] = {"preset": name, "aliases": other_names(name), "how": path.how}
    if path.delay:
        described["delay_samples"] = path.delay
    if path.adapter is not None:
        lost = path.adapter.quality.get("pesq_lost")
        described |= {"adapter": path.adapted, "lookahead": path.lookahead, "pesq_lost": lost}
    return described
