"""Calibration of the recogniser's probabilities with recordings that it was not fitted to."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recipes.guard.channel import ChannelConfig, from_elsewhere
from recipes.guard.espeak import spoken_numbers
from recipes.guard.learning import Lesson
from recipes.guard.material import Material, material_of, plain_recordings
from training.corpora.manifest import Entry, Manifest
from training.data.mel_variation import VariationConfig, like_predicted
from vocoder.config import ConfigError
from vocoder.guard.encodings import PLAIN
from vocoder.guard.layouts import VARIATIONS
from vocoder.guard.recogniser import Convention, Recogniser
from vocoder.models.guard import GuardModel

__all__ = ["CalibrationConfig", "calibrate_recogniser", "calibration_material", "true_mels"]


@dataclass(frozen=True)
class CalibrationConfig:
    """What the guard is calibrated with, and how strictly.

    Raises:
        ConfigError: a value is out of range.
    """

    corpora: tuple[str, ...] = ()
    """of the manifest, that nothing is fitted to"""
    recordings: int = 600
    """of their utterances, at most"""
    spoken: int = 100
    """utterances that espeak-ng makes on the spot"""
    coded: float = 0.5
    """share of all of them that are varied as recordings for the fitting are"""
    false_alarms: float = 0.002
    """share of true mels that may be taken for others"""
    reserve: float = 0.05
    """what the probability that so few of them fall below is multiplied by: few corpora are not all recordings"""
    wrong_names: float = 0.05
    """share of named conventions that may be wrong"""
    slack: float = 0.1
    """nats per value that true mels of other voices may be less likely than all of those"""
    least_margin: float = 0.05
    """nats per value by which shuffled frames must explain a mel better"""

    def __post_init__(self) -> None:
        if min(self.recordings, self.spoken) < 0 or not 0 <= self.coded <= 1:
            raise ConfigError(f"recordings and spoken must not be negative, coded from 0 to 1: {self}")
        if not 0 < self.false_alarms < 0.5 or not 0 < self.wrong_names < 0.5 or not 0 < self.reserve <= 1:
            raise ConfigError(
                f"false_alarms and wrong_names must lie between 0 and 0.5, reserve between 0 and 1: {self}"
            )


def calibration_material(
    manifest: Manifest,
    entries: Sequence[Entry],
    names: Sequence[str],
    channel: ChannelConfig,
    config: CalibrationConfig,
    seed: int,
    sample_rate: int,
) -> Material:
    """Return recordings that no training saw, in all layouts: of other corpora, and by a speech synthesiser.

    Args:
        manifest: of the utterances.
        entries: of those corpora.
        names: of the layouts.
        channel: how far some are varied.
        config: how many.
        seed: of all choices.
        sample_rate: that recordings count as having, in Hz.
    """
    rng = np.random.default_rng(seed)
    chosen = [entries[i] for i in rng.permutation(len(entries))[: config.recordings]]

    def recordings() -> Iterator[tuple[np.ndarray, str]]:
        real = plain_recordings(manifest, chosen) if chosen else iter(())
        made = ((x, "espeak-ng") for x in spoken_numbers(config.spoken, manifest.sample_rate, "calibrate", seed))
        for source in (real, made if config.spoken else iter(())):
            for x, corpus in source:
                if rng.random() < config.coded:
                    x = from_elsewhere(x, manifest.sample_rate / 2, manifest.sample_rate, channel, rng)
                yield x, corpus

    return material_of(recordings(), names, sample_rate, seed, "calibrated with")


def true_mels(material: Material) -> list[Tensor]:
    """Return the true mels (n_mels, frames) of recordings."""
    return [mel for k in range(len(material)) for mel in material.true_mel(k)]


@torch.no_grad()
def calibrate_recogniser(
    model: GuardModel,
    lesson: Lesson,
    mels: Sequence[Tensor],
    variation: VariationConfig,
    config: CalibrationConfig,
    seed: int,
) -> None:
    """Set what probability refutes a claim, and what makes a name certain.

    Args:
        model: with a recogniser whose temperatures are fitted.
        lesson: mels of all conventions that it has not learned from.
        mels: true ones; they are judged as they are, and as acoustic models might predict them.
        variation: how those vary mels.
        config: the shares that may be wrong.
        seed: of the variations.
    """
    generator = torch.Generator().manual_seed(seed)
    recogniser, claim = Recogniser(model.convention, 0.0), Convention(model.config.convention.layouts[0], PLAIN)
    rough = [like_predicted(mel, VARIATIONS[i % len(VARIATIONS)], variation, generator) for i, mel in enumerate(mels)]
    own = torch.tensor([recogniser.recognise(mel).probability(claim) for mel in (*mels, *rough)])
    refuted = config.reserve * float(torch.quantile(own, config.false_alarms))
    model.refuted.fill_(min(max(refuted, 1e-6), 0.05))
    layout, encoding = model.convention(lesson.statistics.float())
    sure = layout.amax(dim=1).exp() * encoding.amax(dim=1).exp()
    right = (layout.argmax(dim=1) == lesson.layout) & (encoding.argmax(dim=1) == lesson.encoding)
    model.certain.fill_(certainty(sure, right, config.wrong_names))


def certainty(sure: Tensor, right: Tensor, wrong: float) -> float:
    """Return the least probability (0.5 or more) from which answers (N,) are wrong in at most a share of cases."""
    order = sure.argsort(descending=True)
    share = (~right[order]).cumsum(dim=0) / torch.arange(1, len(order) + 1)
    good = torch.nonzero(share <= wrong)[:, 0]
    least = float(sure[order[good[-1]]]) if len(good) else 1.0
    return min(max(least, 0.5), 1.0 - math.ulp(1.0))
