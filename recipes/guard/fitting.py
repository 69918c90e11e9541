"""Fits densities in closed form and the recogniser to statistics of mels, and calibrates both."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from recipes.guard.variation import VariationConfig, coloured, like_predicted
from recipes.guard.writing import Material, Writer
from training.density.flows import fit_gaussian
from training.loop.batches import FixedItems
from training.loop.objective import Batch, Objective, Parts
from vocoder.layers.recogniser import GROUP, NEIGHBOURS, SCALARS, STEPS, THRESHOLDS, ConventionNet, mel_statistics
from vocoder.mel.config import MelConfig
from vocoder.mel.conventions import PLAIN, SHUFFLED, VARIATIONS, Convention, is_true
from vocoder.models.guard import GuardModel, windows_of

RARE = 0.002
"""share of true mels that may fall below the lowest log-density"""
SLACK = 0.1
"""nats per value by which true mels of other voices may fall below these"""
LEAST_MARGIN = 0.05
"""nats per value by which shuffled frames must explain a mel better"""
FALSE_ALARMS = 0.002
"""share of true mels that may be mistaken for others"""
RESERVE = 0.05
"""factor on the probability below which so few of them fall, because few corpora do not represent all recordings"""
WRONG_NAMES = 0.03
"""share of recognised conventions that may be wrong"""
TEMPO = 0.3
"""standard deviation of the noise, in logarithms, that all changes from frame to frame share: speaking rates differ, so
only the growth of changes with time may count"""


def fit_densities(model: GuardModel, mels: Sequence[Tensor], floor: float, varied: VariationConfig, seed: int) -> None:
    """Fit each density to windows of natural-log mels (n_mels, frames) with a `floor`, varied according to its name."""
    for k, (name, density) in enumerate(zip(model.config.densities, model.densities, strict=True)):
        generator, variation = torch.Generator().manual_seed(seed + k), name.partition(":")[2]
        found = []
        for mel in mels:
            x = mel if variation in ("", SHUFFLED) else like_predicted(mel, variation, varied, generator)
            x = coloured(x, varied, floor, generator)
            if variation == SHUFFLED:
                x = x[:, torch.randperm(x.shape[1], generator=generator)]
            windows = windows_of(x, model.config, floor)
            found.append(windows + varied.noise * torch.randn(windows.shape, generator=generator))
        fit_gaussian(density, torch.cat(found)[:, :, None])  # type: ignore[arg-type]
        print(f"{name}: fitted to {len(mels)} mels", flush=True)


def lesson_of(
    material: Material, model: GuardModel, variation: VariationConfig, seed: int, rounds: int = 1
) -> FixedItems:
    """Return the statistics `x` (N, S) of mels in float16, with their indices `layout` and `encoding` (N,)."""
    writer = Writer(material, model.config.convention, variation, seed)
    examples = (example for _ in range(rounds) for k in range(len(material)) for example in writer.examples(k))
    rows = [(mel_statistics(mel.numpy()).astype(np.float16), *kind) for mel, *kind in examples]
    statistics, layout, encoding = zip(*rows, strict=True)
    x = torch.from_numpy(np.stack(statistics))
    return FixedItems(x=x, layout=torch.tensor(layout), encoding=torch.tensor(encoding))


class ConventionObjective(Objective):
    """Cross-entropy of mels' layout and encoding in nats, from their statistics `x` (B, S)."""

    model: ConventionNet

    def __init__(self, model: ConventionNet, mel_config: MelConfig, lesson: FixedItems) -> None:
        super().__init__(model, mel_config)
        self.statistics = lesson.tensors["x"]
        n_mels, tempo = model.config.n_mels, torch.zeros(model.first.in_features)
        first = SCALARS + len(THRESHOLDS) + (3 + NEIGHBOURS) * n_mels
        tempo[first : first + n_mels] = TEMPO  # of the logarithms of changes from frame to frame
        tempo[-2 * len(STEPS) * (n_mels // GROUP) :] = TEMPO
        self.register_buffer("tempo", tempo, persistent=False)

    def initialise(self, batches: Iterable[Batch]) -> None:
        """Set the normalisation of the statistics from those of the lesson."""
        some = self.statistics[torch.randperm(len(self.statistics))[:20000]].float()
        self.model.centre.copy_(some.mean(dim=0))
        self.model.spread.copy_((some.var(dim=0) + self.get_buffer("tempo").square().cpu()).sqrt() + 1e-2)

    def parts(self, batch: Batch, step: int) -> Parts:
        """Return both cross-entropies of mels at random tempos."""
        x = batch["x"].float() + self.get_buffer("tempo") * torch.randn(len(batch["x"]), 1, device=batch["x"].device)
        layout, encoding = self.model(x)
        return {
            "layout": (1.0, F.cross_entropy(layout, batch["layout"])),
            "encoding": (1.0, F.cross_entropy(encoding, batch["encoding"])),
        }

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        """Return the sum of both cross-entropies, and the accuracy of the layout."""
        layout, encoding = self.model(batch["x"].float())
        right = (layout.argmax(dim=1) == batch["layout"]).float().mean()
        score = F.cross_entropy(layout, batch["layout"]) + F.cross_entropy(encoding, batch["encoding"])
        return {"score": score, "right": right}

    def export(self, directory: Path, provenance: dict[str, Any]) -> None:
        """Do nothing: the guard's directory is written after calibration."""


@torch.no_grad()
def fit_temperature(net: ConventionNet, lesson: FixedItems) -> None:
    """Set the maximum-likelihood temperatures on mels that the network was not fitted to (arXiv 1706.04599)."""
    net.temperature.fill_(1.0)
    x, *targets = lesson.tensors.values()
    grid = torch.logspace(-1, 1, 81)
    for k, (log_prob, target) in enumerate(zip(net.eval()(x.float()), targets, strict=True)):
        losses = torch.stack([F.cross_entropy(log_prob / t, target) for t in grid])
        net.temperature[k] = grid[losses.argmin()]


@torch.no_grad()
def calibrate(
    model: GuardModel, lesson: FixedItems, mels: Sequence[Tensor], varied: VariationConfig, prior: float, seed: int
) -> None:
    """Calibrate a model with a lesson, of mels in all conventions, and true mels (n_mels, frames).

    It must not have been fitted to any of them. `prior` multiplies the prior odds of the layout of true mels against
    each other layout, and those of natural logarithms against each other encoding. True mels are judged unchanged, and
    as acoustic models might predict them.
    """
    net, generator = model.convention, torch.Generator().manual_seed(seed)
    fit_temperature(net, lesson)
    for head, temperature in zip((net.layout, net.encoding), net.temperature, strict=True):
        head.bias[0] += temperature * math.log(prior)
    claim = Convention(net.config.layouts[0], PLAIN)
    rough = [like_predicted(mel, VARIATIONS[i % len(VARIATIONS)], varied, generator) for i, mel in enumerate(mels)]
    own = torch.tensor([net.recognise(mel).probabilities[claim] for mel in (*mels, *rough)])
    model.refuted.fill_(min(max(RESERVE * float(torch.quantile(own, FALSE_ALARMS)), 1e-6), 0.05))
    x, *targets = lesson.tensors.values()
    layout, encoding = net(x.float())
    sure = layout.amax(dim=1).exp() * encoding.amax(dim=1).exp()
    right = (layout.argmax(dim=1) == targets[0]) & (encoding.argmax(dim=1) == targets[1])
    # The smallest probability, at least 0.5, above which at most a share WRONG_NAMES of answers is wrong.
    order = sure.argsort(descending=True)
    share = (~right[order]).cumsum(dim=0) / torch.arange(1, len(order) + 1)
    good = torch.nonzero(share <= WRONG_NAMES)[:, 0]
    least = float(sure[order[good[-1]]]) if len(good) else 1.0
    model.certain.fill_(min(max(least, 0.5), 1.0 - math.ulp(1.0)))
    _set_levels(model, mels, varied, seed)


def _set_levels(model: GuardModel, mels: Sequence[Tensor], varied: VariationConfig, seed: int) -> None:
    """Set a model's percentiles, lowest log-density and margin from true mels that it was not fitted to."""
    generator = torch.Generator().manual_seed(seed)
    names = model.config.densities
    true = [k for k in range(len(names)) if is_true(names[k])]
    natural = _scores(model, mels)
    rough = [like_predicted(mel, v, varied, generator) for v in VARIATIONS for mel in mels[:: len(VARIATIONS)]]
    both = torch.cat([natural, _scores(model, rough)])
    best = both[:, true].amax(dim=1)
    model.percentiles.copy_(torch.quantile(natural[:, true].amax(dim=1), torch.linspace(0, 1, 101)))
    model.lowest.copy_(torch.quantile(best, RARE) - SLACK)
    others = [k for k in range(len(names)) if k not in true]
    excess = (both[:, others] - best[:, None]).amax().clamp_min(0.0) if others else torch.zeros(())
    model.margin.copy_(excess + LEAST_MARGIN)


def _scores(model: GuardModel, mels: Sequence[Tensor]) -> Tensor:
    """Return the log-densities (mels, K), in nats per value, of all mels that are long enough."""
    return torch.stack([scores for mel in mels if (scores := model.score(mel)) is not None])
