"""The guard: how typical a mel is of its contract, and the likely cause where it is not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from vocoder.checkpoint import CheckpointError, load_model
from vocoder.guard.conversions import conversions, identity
from vocoder.guard.hypotheses import Hypothesis, Scorer
from vocoder.guard.layouts import SHUFFLED, TRUE, is_true, layout_of, layouts
from vocoder.guard.verdict import ShapeVerdict, Verdict, explained, shuffled, two_dimensional, unexplained
from vocoder.mel.config import MelConfig
from vocoder.mel.convert import convert, differences
from vocoder.models.guard import GuardModel

__all__ = ["Guard", "load_guard"]

DIRECTORY = Path(__file__).parents[1] / "assets" / "guard"
SUSPECTED = (TRUE, "espnet", "r9y9")
"""layouts whose mels are looked for in other logarithms even where nothing else is wrong"""
CONVERSION_MARGIN = 0.05
"""nats per value by which a conversion must explain a mel better than what it claims to be"""


class Guard:
    """Judges mels.

    Args:
        model: densities of the conventions that it can tell apart.
        mel_config: the contract of true mels.
    """

    def __init__(self, model: GuardModel, mel_config: MelConfig) -> None:
        self.model = model
        self.mel_config = mel_config
        self._scorer = Scorer(model)
        self._all = tuple(range(len(model.config.densities)))
        self._true = tuple(k for k in self._all if is_true(model.config.densities[k]))
        self._suspected = tuple(k for k in self._all if model.config.densities[k] in SUSPECTED)
        self._identity, self._others = identity(), conversions()
        self._layouts = layouts()

    def knows(self, contract: MelConfig) -> bool:
        """Whether mels of a contract can be judged: they hold what those of the guard's own do, or convert to it."""
        return not self._reasons(contract)

    def require(self, contract: MelConfig) -> None:
        """Raise a ValueError if mels of a contract cannot be judged; it says why."""
        if reasons := self._reasons(contract):
            raise ValueError(f"the guard knows no mels of contract {contract.name!r}: {'; '.join(reasons)}")

    def check(self, mel: Tensor | np.ndarray, contract: MelConfig | None = None) -> Verdict:
        """Judge one mel.

        Args:
            mel: (n_mels, frames), tensor or array.
            contract: that it claims to be of; the guard's own if left out.

        Raises:
            ValueError: the mel is not two-dimensional, holds no finite numbers, or its contract is one that the guard
                does not know.
        """
        contract = contract or self.mel_config
        self.require(contract)
        try:
            values = two_dimensional(mel, self.mel_config.n_mels)
        except ShapeVerdict as found:
            return found.verdict
        if (contract.log, contract.mean) != (self.mel_config.log, self.mel_config.mean):
            values = convert(values, contract, _framed_as(self.mel_config, contract))
        return self._judge(values)

    def _judge(self, mel: Tensor) -> Verdict:
        if mel.shape[1] >= self.model.config.span and float(mel.amax() - mel.amin()) < 1e-3:
            return _silence()
        if float(mel.amax()) <= self._scorer.true_floor + 1.0:
            return _silence()
        plain = self._scorer.score(mel, self._identity, self._all)
        suspects = [h for c in self._others for h in self._scorer.score(mel, c, self._suspected)]
        if not plain and not suspects:
            return Verdict(True, None, "too-short", "The mel has too few frames with sound to judge it by.")
        true = max((h.log_prob for h in plain if h.index in self._true), default=-math.inf)
        believed = [h for h in plain if h.index not in self._true and self._believed(h, true)]
        believed += [h for h in suspects if self._believed(h, true)]
        low = bool(true < self.model.lowest[0])
        if not believed and not low:
            return Verdict(True, self.typicality(true), "typical", "The mel looks as its contract says.")
        return self._cause(mel, plain, true)

    def typicality(self, log_prob: float) -> float:
        """Return the percentage of true mels whose log-density, in nats per value, is lower."""
        return float((self.model.percentiles < log_prob).float().mean() * 100.0)

    def _believed(self, hypothesis: Hypothesis, true: float) -> bool:
        """Whether a hypothesis explains a mel better than that it is true, and is typical itself."""
        margin = float(self.model.margin[hypothesis.index])
        if not hypothesis.conversion.plain:
            margin = max(margin, CONVERSION_MARGIN)
        better = hypothesis.log_prob > true + margin
        return better and hypothesis.density > float(self.model.lowest[hypothesis.index])

    def _cause(self, mel: Tensor, plain: Sequence[Hypothesis], true: float) -> Verdict:
        """Return the verdict of the likeliest of all hypotheses."""
        found = [h for h in plain if h.index not in self._true]
        for conversion in self._others:
            found += self._scorer.score(mel, conversion, self._all)
        found = [h for h in found if self._believed(h, true)]
        if not found:
            return unexplained(self.typicality(true))
        best = max(found, key=lambda h: h.log_prob)
        name = self.model.config.densities[best.index]
        if name.endswith(SHUFFLED):
            return shuffled()
        return explained(best, self._layouts[layout_of(name)], layout_of(name))

    def _reasons(self, contract: MelConfig) -> tuple[str, ...]:
        return differences(_framed_as(contract, self.mel_config), self.mel_config)


@cache
def load_guard(directory: Path = DIRECTORY) -> Guard:
    """Load the guard that ships with the package, or another.

    Raises:
        CheckpointError: the directory is damaged, or of a model that is no guard.
    """
    checkpoint = load_model(directory)
    if not isinstance(checkpoint.model, GuardModel):
        raise CheckpointError(f"{directory} holds a model of family {checkpoint.family!r}, no guard")
    return Guard(checkpoint.model, checkpoint.mel_config)


def _framed_as(config: MelConfig, other: MelConfig) -> MelConfig:
    """Return a contract with another's grid of frames, which the values do not depend on."""
    return replace(config, centre=other.centre, magnitude_epsilon=other.magnitude_epsilon)


def _silence() -> Verdict:
    return Verdict(False, 0.0, "silence", "The mel holds silence, or one value everywhere.")


def check(mel: Any, contract: MelConfig | None = None) -> Verdict:
    """Judge one mel (n_mels, frames) by the guard that ships; see `Guard.check`."""
    return load_guard().check(mel, contract)
