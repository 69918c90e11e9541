"""Fitting for the density benchmarks: one loop for all models, ours or another library's, with data in memory."""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.corpora.manifest import read_manifest
from training.density.command import DensityObjective
from training.density.flows import DensityConfig
from training.density.items import DataConfig, digits, items_of
from training.density.model import DensityModel
from training.loop.batches import EpochDataset
from vocoder.mel.config import preset

LogProb = Callable[[Tensor], Tensor]
CHECKS = 20


@dataclass(frozen=True)
class Data:
    """Items of three splits: training, validation (for early stopping) and test."""

    name: str
    train: EpochDataset
    validation: Tensor
    test: Tensor


@dataclass(frozen=True)
class Fit:
    """The settings of fitting."""

    steps: int
    batch_size: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    seed: int = 0


def load(name: str, manifest: str, frames: int) -> Data:
    """Return the data set `digits`, or `frames` (windows) or `patches` of a corpus's mels."""
    if name == "digits":
        return Data(name, digits("train"), pool(digits("validation", 1), 4), pool(digits("test", 2), 4))
    corpus, mel = read_manifest(manifest), preset("nvidia")
    data = DataConfig(gain_db=(-8.0, 5.0), items=20_000, held_out=2_000)
    train, held_out = (items_of(data, frames, mel, corpus, flag) for flag in (False, True))
    validation, test = pool(held_out, 1), pool(held_out, 1, first=1)
    return Data(name, train, validation, test)


@dataclass(frozen=True)
class Contestant:
    """A model with its log-density, and the parameters that are trained."""

    module: nn.Module
    log_prob: LogProb
    trained: Sequence[nn.Parameter]

    @property
    def parameters(self) -> int:
        """Number of trained parameters."""
        return sum(p.numel() for p in self.trained)


@torch.no_grad()
def ours(config: DensityConfig, x: Tensor, seed: int) -> Contestant:
    """Return a model of this project with whitening and actnorms fitted to training items."""
    torch.manual_seed(seed)
    model = DensityModel(config)
    objective = DensityObjective(model, preset("nvidia"), "")
    objective.initialise([{"x": x}])
    return Contestant(model, model.log_prob, [p for phase in objective.phases().values() for p in phase])


def pool(items: EpochDataset, epochs: int, first: int = 0) -> Tensor:
    """Return all items of some epochs, (n, channels, frames)."""
    keys = ((epoch, index) for epoch in range(first, first + epochs) for index in range(len(items)))
    return torch.stack([items[key]["x"] for key in keys])


def fit(contestant: Contestant, data: Data, settings: Fit) -> None:
    """Fit by maximum likelihood and keep the weights that were best on the validation items, checked 20 times."""
    module, log_prob = contestant.module, contestant.log_prob
    optimiser = torch.optim.AdamW(contestant.trained, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    best, kept = math.inf, copy.deepcopy(module.state_dict())
    for step, x in zip(range(settings.steps), _batches(data.train, settings), strict=False):
        rate = min((step + 1) / 50, 0.5 * (1 + math.cos(math.pi * step / settings.steps)) + 0.01)
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * rate
        optimiser.zero_grad()
        (-log_prob(x).mean() / x[0].numel()).backward()
        nn.utils.clip_grad_norm_(contestant.trained, 10.0)
        optimiser.step()
        if (step + 1) % max(settings.steps // CHECKS, 1) == 0:
            found = score(contestant, data.validation)
            if found < best:
                best, kept = found, copy.deepcopy(module.state_dict())
    module.load_state_dict(kept)


@torch.no_grad()
def score(contestant: Contestant, x: Tensor) -> float:
    """Return nats per dimension of items, lower is better."""
    module = contestant.module
    training = module.training
    module.eval()
    total = sum(float(contestant.log_prob(batch).sum()) for batch in x.split(256))
    module.train(training)
    return -total / x.numel()


def _batches(items: EpochDataset, settings: Fit) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(settings.seed)
    epoch = 0
    while True:
        x = pool(items, 1, first=epoch)
        order = torch.randperm(len(x), generator=generator)
        for i in range(len(x) // settings.batch_size):
            yield x[order[i * settings.batch_size : (i + 1) * settings.batch_size]]
        epoch += 1
