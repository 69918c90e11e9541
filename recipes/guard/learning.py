"""Fitting the recogniser of conventions to statistics of mels, and its temperatures to others."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from recipes.guard.writing import Example
from vocoder.config import ConfigError
from vocoder.layers.mel_statistics import mel_statistics, tempo_statistics
from vocoder.models.convention import ConventionNet

__all__ = ["LearningConfig", "Lesson", "fit_convention", "fit_temperature", "lesson_of"]


@dataclass(frozen=True)
class LearningConfig:
    """How the recogniser is fitted.

    Raises:
        ConfigError: a value is out of range.
    """

    epochs: int = 30
    batch: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    smoothing: float = 0.0
    """of the labels"""
    tempo: float = 0.3
    """standard deviation of what is added to the logarithms of all changes from frame to frame: people speak as fast as
    they like, so that only how changes grow with time is to count"""

    def __post_init__(self) -> None:
        if (
            min(self.epochs, self.batch, self.learning_rate) <= 0
            or self.weight_decay < 0
            or not 0 <= self.smoothing < 1
        ):
            raise ConfigError(f"epochs, batch and learning_rate must be positive, smoothing from 0 to 1: {self}")


@dataclass(frozen=True)
class Lesson:
    """Statistics (N, S) of mels in float16, with the indices (N,) of their layouts, encodings and recordings."""

    statistics: Tensor
    layout: Tensor
    encoding: Tensor
    recording: Tensor


def lesson_of(examples: Iterable[Example]) -> Lesson:
    """Return the statistics of mels."""
    rows, labels = list[np.ndarray](), list[tuple[int, int, int]]()
    for example in examples:
        rows.append(mel_statistics(example.mel.numpy()).astype(np.float16))
        labels.append((example.layout, example.encoding, example.recording))
    layout, encoding, recording = torch.tensor(labels).T
    return Lesson(torch.from_numpy(np.stack(rows)), layout.clone(), encoding.clone(), recording.clone())


def fit_convention(
    net: ConventionNet, lesson: Lesson, config: LearningConfig, seed: int, told: Callable[[str], None] = print
) -> None:
    """Fit a network by AdamW with a rate that rises and falls (arXiv 1711.05101, 1708.07120).

    Args:
        net: to fit.
        lesson: what it learns from.
        config: how.
        seed: of weights and order.
        told: gets a line after every fifth of the epochs.
    """
    torch.manual_seed(seed)
    x, tempo = lesson.statistics, config.tempo * torch.from_numpy(tempo_statistics(net.config.n_mels))
    with torch.no_grad():
        some = x[torch.randperm(len(x))[:20000]].float()
        net.centre.copy_(some.mean(dim=0))
        net.spread.copy_((some.var(dim=0) + tempo.square()).sqrt() + 1e-2)
    optimizer = torch.optim.AdamW(net.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    steps = math.ceil(len(x) / config.batch)
    rate = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=steps * config.epochs, pct_start=0.1
    )
    net.train()
    for epoch in range(config.epochs):
        total = 0.0
        for chosen in torch.split(torch.randperm(len(x)), config.batch):
            layout, encoding = net(x[chosen].float() + tempo * torch.randn(len(chosen), 1))
            loss = _loss(layout, lesson.layout[chosen], config) + _loss(encoding, lesson.encoding[chosen], config)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(net.parameters(), 2.0)
            optimizer.step()
            rate.step()
            total += loss.item() * len(chosen)
        if (epoch + 1) % max(1, config.epochs // 5) == 0:
            told(f"epoch {epoch + 1}: loss {total / len(x):.4f}")
    net.eval()


def _loss(log_prob: Tensor, target: Tensor, config: LearningConfig) -> Tensor:
    return F.cross_entropy(log_prob, target, label_smoothing=config.smoothing)


@torch.no_grad()
def fit_temperature(net: ConventionNet, lesson: Lesson) -> None:
    """Set the temperatures that are likeliest for mels that the network has not learned from (arXiv 1706.04599)."""
    net.temperature.fill_(1.0)
    layout, encoding = net.eval()(lesson.statistics.float())
    grid = torch.logspace(-1, 1, 81)
    for k, (log_prob, target) in enumerate(((layout, lesson.layout), (encoding, lesson.encoding))):
        losses = torch.stack([F.cross_entropy(log_prob / t, target) for t in grid])
        net.temperature[k] = grid[losses.argmin()]
