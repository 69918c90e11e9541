"""The guard: how typical a mel is of its contract, and the likely fault if it is not."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from vocoder.checkpoint import CheckpointError, load_model
from vocoder.guard.encodings import PLAIN, encodings
from vocoder.guard.layouts import NOT_SPEECH, is_true, layout_of
from vocoder.guard.recognition import Convention, Recogniser, Recognition, convention_of
from vocoder.guard.scores import Scorer
from vocoder.guard.verdict import (
    UNSURE,
    ShapeVerdict,
    Verdict,
    recognised,
    shuffled,
    transposed,
    two_dimensional,
    unexplained,
)
from vocoder.mel.config import PRESETS, MelConfig
from vocoder.mel.convert import convert, plain
from vocoder.models.guard import GuardModel

__all__ = ["Guard", "guard_knowing", "guard_of", "guards", "load_guard", "turned"]

DIRECTORY = Path(__file__).parents[1] / "assets" / "guard"
DIRECTORY_OF_100 = DIRECTORY.with_name("guard-100")
"""of the guard of mels of 100 bands"""
FEWEST_FRAMES = 16
"""minimum to recognise a convention"""
CLEARLY = 1.0
"""log-odds from which the bands of a mel are taken to be its columns"""
SURE = 0.9
"""probability from which an unlikely mel counts as the likelier convention"""
FLAT = 1e-3
"""largest range of a constant mel"""


class Guard:
    """Judges mels.

    Args:
        model: a recogniser of conventions, and densities of true mels.
        mel_config: contract of true mels.
    """

    def __init__(self, model: GuardModel, mel_config: MelConfig) -> None:
        self.model = model
        self.mel_config = mel_config
        self._layout = layout_of(model.config.densities[0])
        self._scorer = Scorer(model)
        self._recogniser = Recogniser(model.convention, float(model.certain))
        self._true = [k for k, name in enumerate(model.config.densities) if is_true(name)]
        self._refuted, self._lowest = float(model.refuted), float(model.lowest)
        names = model.config.convention
        self._known = {Convention(layout, e) for layout in names.layouts for e in names.encodings}

    def knows(self, contract: MelConfig) -> bool:
        """Whether mels of a contract can be judged: the recogniser knows their convention."""
        return convention_of(contract) in self._known

    def require(self, contract: MelConfig) -> None:
        """Raise a ValueError if the guard cannot judge mels of a contract."""
        if not self.knows(contract):
            known = ", ".join(name for name, config in PRESETS.items() if self.knows(config))
            raise ValueError(
                f"the guard knows no mels of contract {contract.name!r}, only those computed as those of {known} are"
            )

    def recognise(self, mel: Tensor | np.ndarray) -> Recognition:
        """Recognise the convention of a mel (n_mels, frames).

        Raises:
            ValueError: it is not two-dimensional or not finite, or has another number of bands.
        """
        try:
            return self._recogniser.recognise(two_dimensional(mel, self.mel_config.n_mels))
        except ShapeVerdict as found:
            raise ValueError(found.verdict.message) from None

    def follows(self, mel: Tensor, contract: MelConfig) -> bool:
        """Whether a mel (n_mels, frames) surely follows a contract: it is recognised, and not unlikely."""
        found = self.recognise(mel)
        claimed = convention_of(contract)
        if not found.certain or found.best.convention != claimed:
            return False
        return not self._unlikely(self._plain(mel, claimed, contract))

    def upright(self, mel: Tensor | np.ndarray) -> float:
        """Return the log-odds that the bands of a mel (n_mels, frames) are its rows rather than its columns.

        Raises:
            ValueError: as `recognise`.
        """
        try:
            return self._recogniser.upright(two_dimensional(mel, self.mel_config.n_mels))
        except ShapeVerdict as found:
            raise ValueError(found.verdict.message) from None

    def check(
        self, mel: Tensor | np.ndarray, contract: MelConfig | None = None, adapted: Tensor | None = None
    ) -> Verdict:
        """Judge one mel.

        Args:
            mel: (n_mels, frames), tensor or array.
            contract: the claimed contract; the guard's own by default.
            adapted: the same mel in the guard's own contract, if an adapter converted it. Typicality is then measured
                on this one; for contracts that the guard does not know it is the whole verdict.

        Raises:
            ValueError: the mel is not two-dimensional or not finite, or the guard does not know its contract.
        """
        contract = contract or self.mel_config
        claimed = convention_of(contract)
        if adapted is None or claimed in self._known:
            self.require(contract)
        try:
            values = two_dimensional(mel, contract.n_mels)
        except ShapeVerdict as shape:
            return shape.verdict
        if contract.scaled:
            values, contract = convert(values, contract, plain(contract)), plain(contract)
        logarithms = self._plain(values, claimed, contract) if adapted is None else adapted
        if _flat(values) or (logarithms is not None and float(logarithms.amax()) <= self._scorer.floor + 1.0):
            return Verdict(False, 0.0, "silence", "The mel holds silence, or one value everywhere.")
        if values.shape[1] < FEWEST_FRAMES:
            return Verdict(True, None, "too-short", "The mel has too few frames with sound to judge it by.")
        if values.shape[0] == values.shape[1] and turned(values, self, self):
            return transposed(len(values))
        if claimed not in self._known:
            return self._typical(logarithms, None, 1.0)
        recognition = self._recogniser.recognise(values)
        own = recognition.probability(claimed)
        best, refuted = recognition.best, own < self._refuted
        another = best.convention != claimed and best.probability > SURE
        unlikely = (refuted or another) and self._unlikely(logarithms)
        if refuted or unlikely:
            found = recognised(recognition, contract.name)
            if found.cause not in (UNSURE, NOT_SPEECH) or not unlikely:
                return found
        return self._typical(logarithms, recognition, own)

    def _unlikely(self, plain: Tensor | None) -> bool:
        """Whether a mel of natural logarithms is unlikely under all densities of true mels."""
        scores = None if plain is None else self._scorer.score(plain)
        return scores is not None and float(scores[self._true].amax()) < self._lowest

    def typicality(self, log_prob: float) -> float:
        """Return the percentage of true mels with a lower log-density, in nats per value."""
        return float((self.model.percentiles < log_prob).float().mean() * 100.0)

    def _typical(self, plain: Tensor | None, recognition: Recognition | None, own: float) -> Verdict:
        """Judge how typical of speech a mel of natural logarithms is, unless the recogniser rejects it."""
        scores = None if plain is None else self._scorer.score(plain)
        density = None if scores is None else float(scores[self._true].amax())
        typicality = None if density is None else self.typicality(density)
        low = density is not None and density < self._lowest
        likeliest = () if recognition is None else recognition.likeliest
        if low or own < self._refuted:
            return unexplained(typicality or 0.0, likeliest)
        if scores is not None and density is not None and self._in_disorder(scores, density):
            return shuffled(likeliest)
        if plain is not None and scores is None:
            return Verdict(True, None, "too-short", "The mel has too few frames with sound to judge it by.")
        return Verdict(True, typicality, "typical", "The mel follows its contract.", likeliest=likeliest)

    def _in_disorder(self, scores: Tensor, density: float) -> bool:
        """Whether shuffled frames explain a mel better than true mels."""
        others = [k for k in range(len(scores)) if k not in self._true]
        return bool(others) and float(scores[others].amax()) > density + float(self.model.margin)

    def _plain(self, mel: Tensor, claimed: Convention | None, contract: MelConfig) -> Tensor | None:
        """Return a mel with the guard's own bands as natural logarithms; None for other bands or lost values."""
        if claimed is None or claimed.layout != self._layout:
            return None
        if contract.mean is not None and contract.variance is not None:
            scale = mel.new_tensor(contract.variance).sqrt()[:, None]
            mel = mel * scale + mel.new_tensor(contract.mean)[:, None]
            claimed = convention_of(plain(contract)) or claimed
        back = encodings()[claimed.encoding].back
        return mel if claimed.encoding == PLAIN else None if back is None else back(mel)


def turned(mel: Tensor | np.ndarray, by_rows: Guard, by_columns: Guard) -> bool:
    """Whether the columns of a mel are clearly likelier to be its bands than the rows are.

    Args:
        mel: (n_mels, frames), readable by both guards.
        by_rows: guard for the number of its rows.
        by_columns: guard for the number of its columns.
    """
    return by_rows.upright(mel) < by_columns.upright(mel.T) - CLEARLY


def guards() -> Iterator[Guard]:
    """Yield the shipped guards, loaded lazily; the guard of the models' own mels comes first."""
    return map(load_guard, (DIRECTORY, DIRECTORY_OF_100))


def guard_of(n_mels: int) -> Guard | None:
    """Return the shipped guard for this number of bands, or None."""
    return next((guard for guard in guards() if guard.mel_config.n_mels == n_mels), None)


def guard_knowing(contract: MelConfig) -> Guard:
    """Return the guard that knows a contract, by default that of the models' own mels."""
    return next((guard for guard in guards() if guard.knows(contract)), load_guard())


@cache
def load_guard(directory: Path = DIRECTORY) -> Guard:
    """Load a guard, by default the shipped one.

    Raises:
        CheckpointError: the directory is damaged or does not hold a guard.
    """
    checkpoint = load_model(directory)
    if not isinstance(checkpoint.model, GuardModel):
        raise CheckpointError(f"{directory} holds a model of family {checkpoint.family!r}, no guard")
    return Guard(checkpoint.model, checkpoint.mel_config)


def _flat(mel: Tensor) -> bool:
    low, high = float(mel.amin()), float(mel.amax())
    return not math.isfinite(high - low) or high - low < FLAT


def check(mel: Any, contract: MelConfig | None = None) -> Verdict:
    """Judge one mel (n_mels, frames) by the shipped guard; see `Guard.check`."""
    return load_guard().check(mel, contract)
