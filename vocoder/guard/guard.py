"""The guard: a recogniser identifies a mel's convention, and densities measure how typical of speech it is."""

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from vocoder.adapt.path import MelPath, shape_fault
from vocoder.checkpoint import CheckpointError, load_model
from vocoder.directories import ASSETS, GUARDS
from vocoder.guard.verdict import NAMED, UNFAMILIAR, UNSURE, Verdict, encoding_message, fault, preset_of, recognised
from vocoder.layers.recogniser import Recognition
from vocoder.mel.config import PRESETS, MelConfig
from vocoder.mel.conventions import (
    DB10,
    LOUDEST,
    NOT_SPEECH,
    PLAIN,
    SHUFFLED,
    TRANSPOSED,
    Convention,
    convention_of,
    layout_of,
)
from vocoder.mel.convert import convert, decode, plain
from vocoder.mel.values import bounds, finite_values, mel_range
from vocoder.models.guard import GuardModel, Typicality

FEWEST_FRAMES = 16  # fewest frames in which a convention can be recognised
CLEARLY = 1.0  # log-odds from which a mel counts as transposed
SURE = 0.9  # probability from which an unlikely mel counts as following another convention
WITH_SOUND = (-80.0, 8.0)  # in every encoding a mel with sound has a value in this range
LOWEST = -250.0  # no mel with sound has a value below this one, in any encoding
QUIET_FRAMES = 64  # any mel this long has a band near silence; shorter ones may be loud throughout
NOT_QUIET = -2.0  # smallest decimal logarithm that no such mel has
STANDARDISED = 0.5  # distance of a mel's mean from 0; only logarithms some 30 dB too loud come as near
FILLED = ((0.0, 1.0), (-1.0, 1.0), (-4.0, 4.0))  # ranges to which mels are mapped
ROUNDING = 1e-6  # of the ends of these ranges
FLAT = 1e-3  # largest range of a constant mel
BEYOND = 0.7  # nepers above a full-scale sine that audio within -1 to 1 cannot reach; hard-clipped speech reaches 0.4
AUDIBLE = -8.0  # log magnitude from which frames with the same value in all bands are audible, as noise
TOO_SHORT = Verdict(True, None, "too-short", "The mel has too few frames with sound to judge.")
SILENCE = Verdict(False, 0.0, "silence", "The mel is silent or constant.")


class Guard:
    """Judges mels by a recogniser and by densities of true mels; raises a CheckpointError if a directory holds none."""

    def __init__(self, directory: Path) -> None:
        checkpoint = load_model(directory)
        if not isinstance(checkpoint.model, GuardModel):
            raise CheckpointError(f"{directory} holds a model of family {checkpoint.family!r}, not a guard")
        self.model, self.mel_config = checkpoint.model, checkpoint.mel_config
        self._layout = layout_of(self.model.config.densities[0])
        self._certain, self._refuted = float(self.model.certain), float(self.model.refuted)

    def knows(self, config: MelConfig) -> bool:
        """Return whether the guard can judge mels of a mel config: the recogniser must know their convention."""
        return convention_of(config) in self.model.convention.index

    def recognise(self, mel: Tensor, claimed: Convention | None = None) -> Recognition:
        """Recognise the convention of a finite mel (n_mels, frames) on the CPU, which may be `claimed`."""
        return self.model.convention.recognise(mel, self._certain, claimed)

    def follows(self, mel: Tensor, config: MelConfig) -> bool:
        """Return whether a mel (n_mels, frames) certainly follows a mel config: it is recognised and not unlikely."""
        found, claimed = self.recognise(mel), convention_of(config)
        if not found.certain or found.best.convention != claimed:
            return False
        logarithms = self._natural(mel, config)
        return logarithms is None or not self.model.typicality(logarithms).unlikely

    def scaled_preset(self, mel: Tensor) -> MelConfig | None:
        """Return the likeliest preset with scaled values that a mel (n_mels, frames) follows, or None.

        It follows one if it is typical once the scale is undone. A value that repeats below silence, as floors do, is
        of another scale.
        """
        found, smallest = dict[MelConfig, float](), float(mel.min())
        repeats = int((mel == smallest).sum()) > len(mel)
        for config in PRESETS.values():
            if config.scaled and config.n_mels == len(mel):
                possible = mel_range(config).fault(smallest, float(mel.max())) is None
                elsewhere = repeats and smallest < mel_range(config).silence - FLAT
                unscaled = convert(mel, config, plain(config)) if possible and not elsewhere else None
                if unscaled is not None and self.follows(unscaled, plain(config)):
                    found[config] = self.recognise(unscaled).best.probability
        return max(found, key=found.__getitem__, default=None)

    def check(
        self, mel: Any, config: MelConfig | None = None, adapted: Tensor | None = None, target: MelConfig | None = None
    ) -> Verdict:
        """Judge a mel (n_mels, frames) against its claimed mel config, by default the guard's own.

        Typicality is measured on `adapted`, the mel after conversion to the guard's own mel config; then a mel of an
        unknown config is at best `unfamiliar`. Messages suggest presets that a model of `target`, by default `config`,
        accepts. Raises a ValueError if the mel is not two-dimensional, finite and of a known config.
        """
        config = given = config or self.mel_config
        target = target or config
        if adapted is None and not self.knows(config):
            known = ", ".join(name for name, config in PRESETS.items() if self.knows(config))
            raise ValueError(f"the guard cannot judge {config.name!r} mels, only mels computed like {known}")
        values = unscaled = _two_dimensional(mel)
        if (wrong := shape_fault(values.shape, config, target)) is not None:
            cause = TRANSPOSED if values.shape[1] == config.n_mels else "bands"
            return Verdict(False, 0.0, cause, f"{wrong[0].upper()}{wrong[1:]}.")
        values, config = (convert(values, config, plain(config)), plain(config)) if config.scaled else (values, config)
        logarithms = self._natural(values, config) if adapted is None else adapted
        smallest, largest = bounds(values)
        loudest = largest if logarithms is values else math.inf if logarithms is None else bounds(logarithms)[1]
        possible = adapted is not None or smallest >= mel_range(config).plausible[0]  # decibels are not
        if decibels := _in_decibels(smallest, largest, values.shape[1], config, target, adapted is not None):
            return decibels
        if largest - smallest < FLAT or (possible and loudest <= self.model.floor + 1.0):
            return SILENCE
        far = largest < WITH_SOUND[0] or smallest > WITH_SOUND[1] or smallest < LOWEST
        if far and self.knows(config) and (wrong := mel_range(config).fault(smallest, largest)) is not None:
            return fault("range", range=wrong)
        if values.shape[1] < FEWEST_FRAMES:
            return TOO_SHORT
        if values.shape[0] == values.shape[1] and looks_transposed(values, self, self):
            return fault(TRANSPOSED, n_mels=len(values))
        found = self.recognise(values, convention_of(config)) if self.knows(config) else None
        typicality = None if logarithms is None else self.model.typicality(logarithms)
        verdict = self._verdict(found, typicality, config, target)
        unknown = not verdict.typical and (found is None or found.best.convention.preset is None)
        if unknown and (mapped := fills_a_range(unscaled)):
            return mapped
        if (verdict.typical or verdict.cause == SHUFFLED) and (padding := _padding(unscaled, given)) is not None:
            return padding  # long padding looks shuffled
        if verdict.cause == UNFAMILIAR and given.mean is None and abs(float(values.mean())) < STANDARDISED:
            return Verdict(False, 0.0, "statistics", encoding_message("statistics", config, target, own=True))
        if verdict.typical:
            excess = loudest - mel_range(self.mel_config).loudest  # infinite if the logarithms are unknown
            return fault("loud", decibels=20 * excess / math.log(10)) if BEYOND < excess < math.inf else verdict
        if found is not None and logarithms is values and self._of_integers(values, config):
            return fault("integers", verdict.likeliest)
        return verdict if found is None else self._of_scale(unscaled, given, target, verdict)

    def _of_scale(self, mel: Tensor, given: MelConfig, target: MelConfig, verdict: Verdict) -> Verdict:
        """Return the verdict, or a better one if the mel (n_mels, frames) has a preset's scale or an unknown one."""
        scaled, (smallest, largest) = self.scaled_preset(mel), bounds(mel)
        if scaled is not None and scaled != given:
            message = f"The mel looks like the {scaled.name} preset: {preset_of(scaled, target)}."
            return Verdict(False, 0.0, "normalised", message, scaled.name, likeliest=verdict.likeliest)
        if scaled is None and verdict.cause == "log10" and mel.shape[1] >= QUIET_FRAMES and smallest > NOT_QUIET:
            return fault("range", verdict.likeliest, range=f"The values go from {smallest:.4g} to {largest:.4g}.")
        return verdict

    def _of_integers(self, mel: Tensor, config: MelConfig) -> bool:
        """Return whether a mel of natural logarithms (n_mels, frames) was computed from samples in -32768..32767."""
        loud = bounds(mel)[1] > mel_range(config).plausible[1]
        return loud and self.follows(mel - math.log(32768.0), config) and not self.follows(-mel, config)

    def _verdict(
        self, found: Recognition | None, typicality: Typicality | None, config: MelConfig, target: MelConfig
    ) -> Verdict:
        """Combine the results of recogniser and densities; either may be missing."""
        unlikely, likeliest = typicality is not None and typicality.unlikely, found.likeliest if found else ()
        claimed = convention_of(config)
        if found is not None and claimed is not None:
            refuted = found.probabilities[claimed] < self._refuted
            another = found.best.convention != claimed and found.best.probability > SURE
            if refuted or (another and unlikely):
                verdict = recognised(found, config, target)
                if verdict.cause not in (UNSURE, NOT_SPEECH) or not unlikely:
                    return verdict
            unlikely = unlikely and found.probabilities[claimed] < NAMED  # a sure recogniser outvotes it
        percent = None if typicality is None else typicality.percent
        if unlikely:
            return fault(NOT_SPEECH, likeliest, percent or 0.0)
        if typicality is not None and typicality.shuffled:
            return fault(SHUFFLED, likeliest)
        if typicality is not None and percent is None:
            return TOO_SHORT
        if found is None:
            words = "it found no gross fault, but would not notice a different logarithm or scale"
            return Verdict(True, None, UNFAMILIAR, f"The guard does not know {config.name} mels: {words}.")
        return Verdict(True, percent, "typical", "The mel follows its mel config.", likeliest=likeliest)

    def _natural(self, mel: Tensor, config: MelConfig) -> Tensor | None:
        """Convert a mel with the guard's own bands to natural logarithms; return None for other bands."""
        claimed = convention_of(config)
        if claimed is None or claimed.layout != self._layout:
            return None
        return mel if claimed.encoding == PLAIN else decode(mel.double(), config).float()


def _in_decibels(
    smallest: float, largest: float, frames: int, config: MelConfig, target: MelConfig, adapted: bool
) -> Verdict | None:
    """Return a verdict if a short mel must be in decibels or decibels are relative to the loudest value, or None."""
    far = LOWEST < smallest < min(-30.0, 2.0 * mel_range(config).plausible[0])
    if far and not adapted and frames < FEWEST_FRAMES:
        return Verdict(False, 0.0, "decibels", encoding_message("db20", config, target))
    relative = adapted and config.log == DB10 and largest == 0.0
    return Verdict(False, 0.0, "decibels", encoding_message(LOUDEST, config, target)) if relative else None


def _padding(mel: Tensor, config: MelConfig) -> Verdict | None:
    """Return a verdict if in some frames of a mel (n_mels, frames) all bands have the same audible value, or None."""
    flat = mel[:, mel.amax(0) - mel.amin(0) < FLAT]
    padded = flat[0, decode(flat, config).amax(0) > AUDIBLE * config.power].tolist()
    return fault("padding", count=len(padded), value=padded[-1], silence=mel_range(config).silence) if padded else None


def fills_a_range(mel: Tensor) -> Verdict | None:
    """Return a verdict if a mel is mapped to 0..1 or another range by its own ends, or None.

    Mapped decibels may reach the upper end too, if they are clipped there, but rarely at one value alone. The mel must
    not follow a preset.
    """
    smallest, largest = bounds(mel)
    filled = any(max(abs(smallest - low), abs(largest - high)) < ROUNDING for low, high in FILLED)
    alone = filled and int((mel > largest - ROUNDING).sum()) == 1
    return fault("normalised", low=round(smallest), high=round(largest)) if alone else None


def looks_transposed(mel: Tensor, by_rows: Guard, by_columns: Guard) -> bool:
    """Return whether the columns of a mel, which both guards can read, are clearly likelier to be its bands."""
    return by_rows.recognise(mel).upright < by_columns.recognise(mel.T).upright - CLEARLY


load_guard = cache(Guard)


def guards() -> Iterator[Guard]:
    """Yield the shipped guards, loaded lazily, starting with the one for nvidia mels."""
    return (load_guard(ASSETS / name) for name in GUARDS)


def check(mel: Any, config: MelConfig | None = None) -> Verdict:
    """Judge a mel (n_mels, frames) with the shipped guard; see `Guard.check`."""
    return next(guards()).check(mel, config)


def judge(mel: Tensor | np.ndarray, path: MelPath, converted: Tensor | None = None) -> Verdict | None:
    """Judge a mel (n_mels, frames) in the source config of a path; return None if no guard knows that config.

    The guard that knows the source is used, otherwise the one that knows the target. Typicality is measured on the
    `converted` mel (computed if not given) if it has the guard's own convention, otherwise on the mel as given. Raises
    a ValueError if the mel is not two-dimensional or not finite.
    """
    knowing = (guard for end in (path.source, path.target) for guard in guards() if guard.knows(end))
    guard = next(knowing, None) or next(guards())
    known, values, adapted = guard.knows(path.source), _two_dimensional(mel), None
    fits = not known or len(values) == path.source.n_mels  # a wrong shape needs no conversion to be found
    if path.adapter is not None and fits and convention_of(path.target) == convention_of(guard.mel_config):
        adapted = path.convert(values) if converted is None else converted.cpu()
    if adapted is None and not known:
        return None
    return replace(guard.check(values, path.source, adapted, path.target), adapted=path.adapted)


def _two_dimensional(mel: Any) -> Tensor:
    """Return a mel as a finite float32 tensor (n_mels, frames) on the CPU."""
    if isinstance(mel, (str, bytes, PathLike)):
        kind = type(mel).__name__
        raise ValueError(f"a mel must be a tensor or an array (n_mels, frames), not {kind}: read the file first")
    values = finite_values(mel if isinstance(mel, Tensor) else np.asarray(mel)).cpu()
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(f"a mel must be (n_mels, frames) with at least one frame, not {tuple(values.shape)}")
    return values
