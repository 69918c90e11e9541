"""Probability density distillation: the divergence of a student from its teacher (Parallel WaveNet, section 3)."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from vocoder.distributions import ENTROPY, Distribution, Gaussian, soft_floor
from vocoder.layers.source import COEFFICIENTS, GAINS
from vocoder.models.student import SHIFT, Student
from vocoder.stages import CONDITION, MEL, Z, run

Estimator: TypeAlias = Literal["closed", "draws", "sample"]


@dataclass(frozen=True)
class Draw:
    """A sample of a student with information on its density."""

    x: Tensor
    """audio (B, T)"""
    entropy: Tensor
    """(B,) in nats; its mean over draws is the student's entropy. Noise values enter by their expectation, so that this
    varies far less than minus the sample's log-density."""
    mu: Tensor | None = None
    """(B, T). Given the earlier noise, x_t = mu_t + exp(log_scale_t) * noise_t. None for a student of frames, whose
    samples depend on each other within a frame."""
    log_scale: Tensor | None = None
    """(B, T), or None like `mu`"""

    def first(self, items: int) -> "Draw":
        """Return the draw of the first items of the batch."""
        return Draw(*(None if value is None else value[:items] for value in vars(self).values()))  # type: ignore[arg-type]


def drawn(student: Student, noise: Tensor, mel: Tensor) -> Draw:
    """Return the student's sample for white noise (B, C, steps), with information on its density."""
    given = {MEL: mel, CONDITION: student.condition(mel)}
    shift, scale = noise.new_zeros(()), noise.new_ones(())
    if student.shift is not None:
        shift = run(student.stages(), given, SHIFT).signal
    elif student.excitation is not None:
        source, gains = (run(student.stages(), given, signal).signal for signal in (COEFFICIENTS, GAINS))
        shift, scale = student.excitation.shift_and_scale(source, gains, 1.0)
    log_scale = scale.log().expand_as(noise)
    made = run(student.stages(), given | {Z: noise * scale + shift})
    x = made.signal.squeeze(1)
    entropy = made.log_det + log_scale.sum(dim=(1, 2)) + ENTROPY * noise[0].numel()
    if student.transform is not None:
        return Draw(x, entropy)
    log_scale = sum(made.changes, log_scale)  # every flow scales each sample (ClariNet, equation 12)
    return Draw(x, entropy, x - (torch.exp(log_scale) * noise).squeeze(1), log_scale.squeeze(1))


def divergence(
    draw: Draw,
    params: Tensor,
    distribution: Distribution,
    estimator: Estimator,
    *,
    draws: int = 8,
    log_s_floor: float = -9.0,
) -> dict[str, Tensor]:
    """Estimate KL(student || teacher) from a student's sample and the teacher's conditionals along it.

    `params` (B, K, T) are the teacher's conditionals at `draw.x`, of the family `distribution`, with gradients. The
    estimator "closed" is exact for two Gaussians, sample by sample; "draws" uses several draws from the student's
    conditional at each sample and works for any two families; "sample" uses the sample itself, for students without
    conditionals. `log_s_floor` is a soft lower bound of both log-scales in "closed".

    Returns `kl` = `cross_entropy` - `entropy` in nats per sample, each (B,); for "closed" also the `regulariser`, the
    mean squared distance of the two log-scales. Raises ValueError if the estimator is not applicable.
    """
    entropy, mu, log_s = draw.entropy / draw.x.shape[1], draw.mu, draw.log_scale
    if estimator == "sample":
        cross_entropy = -distribution.log_prob(params, draw.x).mean(dim=1)
    elif mu is None or log_s is None:
        raise ValueError(f"the estimator {estimator!r} needs a student over samples, which has conditionals")
    elif estimator == "draws":
        cross_entropy = _cross_entropy(mu, log_s, params, distribution, draws)
    elif not isinstance(distribution, Gaussian):
        raise ValueError("the closed form needs a Gaussian teacher")
    else:
        mu_p, log_s_p = params.unbind(dim=1)
        kl = gaussian_kl(mu, soft_floor(log_s, log_s_floor), mu_p, soft_floor(log_s_p, log_s_floor)).mean(dim=1)
        found = {"kl": kl, "entropy": entropy, "cross_entropy": kl + entropy}
        return found | {"regulariser": (log_s_p - log_s).square().mean(dim=1)}
    return {"kl": cross_entropy - entropy, "entropy": entropy, "cross_entropy": cross_entropy}


def gaussian_kl(mu_q: Tensor, log_s_q: Tensor, mu_p: Tensor, log_s_p: Tensor) -> Tensor:
    """Return KL(N(mu_q, s_q^2) || N(mu_p, s_p^2)) in nats, element-wise (ClariNet, equation 7)."""
    ratio = 2 * (log_s_q - log_s_p)
    return 0.5 * (torch.exp(ratio) + (mu_q - mu_p).square() * torch.exp(-2 * log_s_p) - 1 - ratio)


def _cross_entropy(mu: Tensor, log_s: Tensor, params: Tensor, distribution: Distribution, draws: int) -> Tensor:
    """Return the mean of -log p over draws of each sample, (B,), with memory for one draw at a time."""

    def log_prob(mu: Tensor, log_s: Tensor, params: Tensor, value: Tensor) -> Tensor:
        return distribution.log_prob(params, mu + torch.exp(log_s) * value).mean(dim=1)

    total = mu.new_zeros(mu.shape[0])
    for _ in range(draws):
        value = torch.randn_like(mu)
        total = total - checkpoint(log_prob, mu, log_s, params, value, use_reentrant=False, preserve_rng_state=False)
    return total / draws
