"""Couplings over halves of the channels, affine and additive."""

import torch
from torch import Tensor, nn

from vocoder.flows.base import Flow


def soft_clip(log_s: Tensor, bound: float | None) -> Tensor:
    """Bound a log-scale smoothly: bound * tanh(log_s / bound), the identity near 0; `None` leaves it unchanged."""
    return log_s if bound is None else bound * torch.tanh(log_s / bound)


class AffineCoupling(Flow):
    """Keep one half of the channels, and scale and shift the other by functions of the first.

    z_a = x_a and z_b = exp(log_s) * x_b + t, where (t, log_s) = network(x_a, cond), so `log_det` = sum(log_s). Both
    directions take one pass through the network. The affine step runs in the dtype of `x`, whatever the network's.

    Args:
        network: maps x_a (B, C - C // 2, T) and the condition to (B, 2 * (C // 2), T), first `t` and then `log_s`.
        log_s_bound: the bound of the soft clip of `log_s`; `None` as in the published WaveGlow.
        additive: only shift, as in NICE: the network outputs `t`, and `log_det` is 0.
    """

    def __init__(self, network: nn.Module, log_s_bound: float | None = 2.0, additive: bool = False) -> None:
        super().__init__()
        self.network = network
        self.log_s_bound, self.additive = log_s_bound, additive

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T)."""
        kept, changed = x.chunk(2, dim=1)  # the first half is the larger one
        t, log_s = self._shift_and_log_scale(kept, cond)
        return torch.cat([kept, torch.exp(log_s) * changed + t], dim=1), log_s.sum(dim=(1, 2))

    def inverse(self, z: Tensor, cond: Tensor | None = None, gaps: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T); for `gaps` see `WaveNetStack.forward`."""
        kept, changed = z.chunk(2, dim=1)
        given = (kept, cond) if gaps is None else (kept, cond, gaps)
        t, log_s = self._shift_and_log_scale(*given)
        return torch.cat([kept, (changed - t) * torch.exp(-log_s)], dim=1), -log_s.sum(dim=(1, 2))

    def _shift_and_log_scale(self, half: Tensor, *condition: Tensor | None) -> tuple[Tensor, Tensor]:
        out = self.network(half, *condition).to(half.dtype)
        if self.additive:
            return out, torch.zeros_like(out)
        t, log_s = out.chunk(2, dim=1)
        return t, soft_clip(log_s, self.log_s_bound)
