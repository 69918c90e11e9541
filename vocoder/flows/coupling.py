"""Couplings, affine and additive, over halves of the channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vocoder.flows.base import Flow

__all__ = ["AdditiveCoupling", "AffineCoupling", "soft_clip"]


def soft_clip(log_s: Tensor, bound: float | None) -> Tensor:
    """Bound a log-scale smoothly: bound * tanh(log_s / bound), the identity near 0; `None` leaves it as it is."""
    return log_s if bound is None else bound * torch.tanh(log_s / bound)


class AffineCoupling(Flow):
    """Keep one half of the channels and scale and shift the other by functions of it.

    z_a = x_a and z_b = exp(log_s) * x_b + t, where (t, log_s) = network(x_a, cond), so `log_det` = sum(log_s). Both
    directions take one pass through the network. The affine step runs in the dtype of `x`, whatever the network's.

    Args:
        network: maps x_a (B, C - C // 2, T) and the condition to (B, 2 * (C // 2), T), first `t` and then `log_s`.
        log_s_bound: the bound of the soft clip of `log_s`; `None` as in the published WaveGlow.
        keeps_last: keep the last half of the channels and change the first, with an even number of them.
    """

    def __init__(self, network: nn.Module, log_s_bound: float | None = 2.0, keeps_last: bool = False) -> None:
        super().__init__()
        self.network = network
        self.log_s_bound = log_s_bound
        self.keeps_last = keeps_last

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T)."""
        x_a, x_b = self._split(x)
        t, log_s = self._shift_and_log_scale(x_a, cond)
        return self._joined(x_a, torch.exp(log_s) * x_b + t), log_s.sum(dim=(1, 2))

    def inverse(self, z: Tensor, cond: Tensor | None = None, gaps: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T); `gaps` as a WaveNet stack has them."""
        z_a, z_b = self._split(z)
        t, log_s = self._shift_and_log_scale(z_a, cond, gaps)
        return self._joined(z_a, (z_b - t) * torch.exp(-log_s)), -log_s.sum(dim=(1, 2))

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the half that is kept and the half that is changed."""
        first, last = _halves(x)
        return (last, first) if self.keeps_last else (first, last)

    def _joined(self, kept: Tensor, changed: Tensor) -> Tensor:
        return torch.cat([changed, kept] if self.keeps_last else [kept, changed], dim=1)

    def _shift_and_log_scale(
        self, half: Tensor, cond: Tensor | None, gaps: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        out = self.network(half, cond) if gaps is None else self.network(half, cond, gaps)
        t, log_s = out.to(half.dtype).chunk(2, dim=1)
        return t, soft_clip(log_s, self.log_s_bound)


class AdditiveCoupling(Flow):
    """Keep one half of the channels and shift the other by a function of it; `log_det` is 0.

    Args:
        network: maps x_a (B, C - C // 2, T) and the condition to `t` (B, C // 2, T).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T)."""
        x_a, x_b = _halves(x)
        return torch.cat([x_a, x_b + self.network(x_a, cond).to(x.dtype)], dim=1), x.new_zeros(x.shape[0])

    def inverse(self, z: Tensor, cond: Tensor | None = None, gaps: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T); `gaps` as a WaveNet stack has them."""
        z_a, z_b = _halves(z)
        t = self.network(z_a, cond) if gaps is None else self.network(z_a, cond, gaps)
        return torch.cat([z_a, z_b - t.to(z.dtype)], dim=1), z.new_zeros(z.shape[0])


def _halves(x: Tensor) -> tuple[Tensor, Tensor]:
    kept = x.shape[1] - x.shape[1] // 2
    first, second = torch.split(x, [kept, x.shape[1] - kept], dim=1)
    return first, second
