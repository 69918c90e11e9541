"""Explain what is wrong with the shape of a mel, and which preset or model it may be meant for."""

from collections.abc import Sequence

from vocoder.adapt.path import model_for, takes
from vocoder.directories import MODELS
from vocoder.mel.config import PRESETS, MelConfig

LIBROSA_BANDS = 128
"""librosa's default number of bands"""


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
            hints.append(f"presets with {bands} bands are {', '.join(taken)}: pass preset=NAME")
            own = [(name, model) for name, model in MODELS.items() if name in names]
            hints += [f"the shipped model {model!r} uses {name} itself" for name, model in own]
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
