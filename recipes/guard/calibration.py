"""Calibration of the recogniser's probabilities with recordings that it was not fitted to."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from recipes.guard.channel import from_elsewhere
from recipes.guard.learning import Lesson
from recipes.guard.material import Material, material_of, plain_recordings, spoken_recordings
from recipes.guard.variation import VariationConfig, like_predicted
from training.corpora.manifest import Entry, Manifest
from vocoder.guard.encodings import PLAIN
from vocoder.guard.layouts import VARIATIONS
from vocoder.guard.recogniser import Convention, Recogniser
from vocoder.models.guard import GuardModel

CODED = 0.5
"""share of recordings that are varied as those for the fitting are"""
FALSE_ALARMS = 0.002
"""share of true mels that may be taken for others"""
RESERVE = 0.05
"""what the probability that so few of them fall below is multiplied by: few corpora are not all recordings"""
WRONG_NAMES = 0.05
"""share of named conventions that may be wrong"""


def calibration_material(
    manifest: Manifest, entries: Sequence[Entry], spoken: int, names: Sequence[str], seed: int, sample_rate: int
) -> Material:
    """Return recordings that no training saw, in all layouts: of other corpora, and by a speech synthesiser."""
    rng, rate = np.random.default_rng(seed), manifest.sample_rate

    def recordings() -> Iterator[tuple[np.ndarray, str]]:
        made = spoken_recordings(rate, spoken, "calibrate", seed)
        for x, corpus in chain(plain_recordings(manifest, entries) if entries else (), made):
            yield from_elsewhere(x, rate / 2, rate, rng) if rng.random() < CODED else x, corpus

    return material_of(recordings(), names, sample_rate, seed, "calibrated with")


@torch.no_grad()
def calibrate_recogniser(
    model: GuardModel,
    lesson: Lesson,
    mels: Sequence[Tensor],
    variation: VariationConfig,
    seed: int,
) -> None:
    """Set what probability refutes a claim, and what makes a name certain.

    Args:
        model: with a recogniser whose temperatures are fitted.
        lesson: mels of all conventions that it has not learned from.
        mels: true ones; they are judged as they are, and as acoustic models might predict them.
        variation: how those vary mels.
        seed: of the variations.
    """
    generator = torch.Generator().manual_seed(seed)
    recogniser, claim = Recogniser(model.convention, 0.0), Convention(model.config.convention.layouts[0], PLAIN)
    rough = [like_predicted(mel, VARIATIONS[i % len(VARIATIONS)], variation, generator) for i, mel in enumerate(mels)]
    own = torch.tensor([recogniser.recognise(mel).probability(claim) for mel in (*mels, *rough)])
    refuted = RESERVE * float(torch.quantile(own, FALSE_ALARMS))
    model.refuted.fill_(min(max(refuted, 1e-6), 0.05))
    layout, encoding = model.convention(lesson.statistics.float())
    sure = layout.amax(dim=1).exp() * encoding.amax(dim=1).exp()
    right = (layout.argmax(dim=1) == lesson.layout) & (encoding.argmax(dim=1) == lesson.encoding)
    model.certain.fill_(certainty(sure, right, WRONG_NAMES))


def certainty(sure: Tensor, right: Tensor, wrong: float) -> float:
    """Return the least probability (0.5 or more) from which answers (N,) are wrong in at most a share of cases."""
    order = sure.argsort(descending=True)
    share = (~right[order]).cumsum(dim=0) / torch.arange(1, len(order) + 1)
    good = torch.nonzero(share <= wrong)[:, 0]
    least = float(sure[order[good[-1]]]) if len(good) else 1.0
    return min(max(least, 0.5), 1.0 - math.ulp(1.0))
