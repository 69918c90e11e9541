"""Probability density distillation: how far a student's density is from its teacher's (Parallel WaveNet, section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from vocoder.distributions.base import Distribution, soft_floor
from vocoder.distributions.gaussian import Gaussian
from vocoder.layers.source.base_noise import BaseNoise
from vocoder.models.student import Draw

__all__ = ["Direction", "Divergence", "Estimator", "Teacher", "contrastive", "divergence", "gaussian_kl"]

Estimator: TypeAlias = Literal["closed", "draws", "sample"]
Direction: TypeAlias = Literal["student-teacher", "teacher-student"]


@runtime_checkable
class Teacher(Protocol):
    """An autoregressive model that scores audio in one parallel pass."""

    @property
    def distribution(self) -> Distribution:
        """The family of its conditionals."""

    def conditionals(self, x: Tensor, mel: Tensor) -> Tensor:
        """Return the parameters (B, K, T) of each sample of x (B, T) given those before it."""


@dataclass(frozen=True)
class Divergence:
    """A student against its teacher, in nats per sample, each (B,).

    Attributes:
        kl: the divergence in the direction that was asked for.
        entropy: of the student.
        cross_entropy: of the teacher under the student; kl = cross_entropy - entropy in the direction student-teacher.
        regulariser: mean squared distance of the two log-scales; 0 unless both are Gaussian in closed form.
    """

    kl: Tensor
    entropy: Tensor
    cross_entropy: Tensor
    regulariser: Tensor


def divergence(
    draw: Draw,
    params: Tensor,
    distribution: Distribution,
    noise: BaseNoise,
    estimator: Estimator,
    *,
    direction: Direction = "student-teacher",
    draws: int = 8,
    draws_at_once: int = 2,
    log_s_floor: float = -9.0,
) -> Divergence:
    """Estimate KL(student || teacher) from a sample of the student and the teacher's conditionals along it.

    Args:
        draw: a sample of the student, with gradients.
        params: (B, K, T) the teacher's conditionals at `draw.x`, with gradients with respect to it.
        distribution: the family of these conditionals.
        noise: of the student.
        estimator: "closed" for two Gaussians, sample by sample; "draws" for any two families, by several draws from
            the student's conditional at each sample; "sample" by the sample itself, for students without conditionals.
        direction: of "closed"; the others know student-teacher alone.
        draws: of each sample.
        draws_at_once: how many are held in memory; the rest are computed again for the gradient.
        log_s_floor: soft lower bound of both log-scales in "closed".

    Raises:
        ValueError: the estimator does not suit the student, the teacher or the direction.
    """
    if estimator != "closed" and direction != "student-teacher":
        raise ValueError(f"the estimator {estimator!r} knows the direction student-teacher alone, not {direction}")
    entropy = draw.entropy / draw.x.shape[1]
    if estimator == "sample":
        cross_entropy = -distribution.log_prob(params, draw.x).mean(dim=1)
        return Divergence(cross_entropy - entropy, entropy, cross_entropy, torch.zeros_like(entropy))
    if draw.mu is None or draw.log_scale is None:
        raise ValueError(f"the estimator {estimator!r} needs the conditionals of a student over samples")
    if estimator == "draws":
        cross_entropy = _cross_entropy(draw, params, distribution, noise, draws, draws_at_once)
        return Divergence(cross_entropy - entropy, entropy, cross_entropy, torch.zeros_like(entropy))
    if not isinstance(distribution, Gaussian) or noise.kind != "gaussian":
        raise ValueError("the closed form needs a Gaussian teacher and a student with Gaussian noise")
    return _closed(draw.mu, draw.log_scale, params, entropy, direction, log_s_floor)


def gaussian_kl(mu_q: Tensor, log_s_q: Tensor, mu_p: Tensor, log_s_p: Tensor) -> Tensor:
    """Return KL(N(mu_q, s_q^2) || N(mu_p, s_p^2)) in nats, element by element (ClariNet, equation 7)."""
    ratio = 2 * (log_s_q - log_s_p)
    return 0.5 * (torch.exp(ratio) + (mu_q - mu_p).square() * torch.exp(-2 * log_s_p) - 1 - ratio)


def _closed(
    mu: Tensor, log_s: Tensor, params: Tensor, entropy: Tensor, direction: Direction, floor: float
) -> Divergence:
    mu_p, log_s_p = params.unbind(dim=1)
    regulariser = (log_s_p - log_s).square().mean(dim=1)
    q, p = (mu, soft_floor(log_s, floor)), (mu_p, soft_floor(log_s_p, floor))
    forward = gaussian_kl(*q, *p).mean(dim=1)
    kl = forward if direction == "student-teacher" else gaussian_kl(*p, *q).mean(dim=1)
    return Divergence(kl, entropy, forward + entropy, regulariser)


def _cross_entropy(
    draw: Draw, params: Tensor, distribution: Distribution, noise: BaseNoise, draws: int, at_once: int
) -> Tensor:
    """Return the mean of -log p over draws of each sample, (B,); memory holds `at_once` of them."""
    assert draw.mu is not None
    assert draw.log_scale is not None

    def log_prob(mu: Tensor, log_s: Tensor, params: Tensor, values: Tensor) -> Tensor:
        return distribution.log_prob(params, mu + torch.exp(log_s) * values).mean(dim=2).sum(dim=0)

    total = draw.mu.new_zeros(draw.mu.shape[0])
    for start in range(0, draws, at_once):
        values = noise.draw_like(draw.mu, min(at_once, draws - start))
        part = checkpoint(
            log_prob, draw.mu, draw.log_scale, params, values, use_reentrant=False, preserve_rng_state=False
        )
        total = total - part
    return total / draws


def contrastive(kl_of_others: Tensor, bound: float | None) -> Tensor:
    """Return the loss, minus the divergence from the teacher under other mels; it falls as that divergence grows.

    Args:
        kl_of_others: (B,) nats per sample, between the student under its own mel and the teacher under another's.
        bound: the divergence is counted as bound * tanh(kl / bound), since a teacher that is sharp under the wrong mel
            makes it grow without limit and nothing is gained beyond a few nats; `None` as published.

    Returns:
        a scalar, the mean over the batch.
    """
    counted = kl_of_others if bound is None else bound * torch.tanh(kl_of_others / bound)
    return -counted.mean()
