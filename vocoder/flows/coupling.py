"""Affine flows whose network reads a part of the signal: couplings, also additive, and inverse autoregressive flows."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.flows.base import Flow
from vocoder.layers.stack.plain import StackStepper, gate_offsets
from vocoder.layers.stack.wavenet import WaveNetStack


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


class InverseAutoregressive(Flow):
    """Scale and shift each step by functions of the *noise* before it: x = z * exp(log_scale) + t.

    (Kingma et al., 2016; Parallel WaveNet, section 3.1.)
    (t, log_scale) at a step depend on z at earlier steps and on the first `kept` channels of z at the same step, which
    are unchanged. The Jacobian is triangular: log|det dx / dz| = sum(log_scale). Noise to data (`inverse`) is one
    parallel pass; data to noise (`forward`) is sequential, since each step needs the noise before it.

    `network` is a causal stack from z one step earlier, and the kept channels, to t and log_scale of the others. With
    `scaled_shift` it outputs t in units of the scale; `log_s_bound` is the soft bound of log_scale.
    """

    def __init__(
        self, network: WaveNetStack, channels: int, kept: int, log_s_bound: float | None, scaled_shift: bool
    ) -> None:
        super().__init__()
        self.network = network
        self.channels, self.kept = channels, kept
        self.log_s_bound, self.scaled_shift = log_s_bound, scaled_shift

    def shift_and_log_scale(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return `t` and `log_scale` of the channels that change, both (B, C - kept, T), for noise z (B, C, T)."""
        seen = F.pad(z[:, :, :-1], (1, 0))
        if self.kept:
            seen = torch.cat([seen, z[:, : self.kept]], dim=1)
        return self._split(self.network(seen, cond), z.dtype)

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map data (B, C, T) to noise, step by step: slow, without gradients, in the dtype of the weights."""
        batch, _, steps = x.shape
        offsets, stepper = gate_offsets(self.network, cond, batch), StackStepper(self.network, batch)
        if steps % len(offsets):
            raise ValueError(f"the number of steps, {steps}, must be a multiple of the {len(offsets)} condition frames")
        z = torch.empty_like(x)
        log_det = x.new_zeros(batch)
        before = x.new_zeros(batch, self.channels)
        with torch.no_grad():
            for step in range(steps):
                kept, changed = x[:, : self.kept, step], x[:, self.kept :, step]
                seen = torch.cat([before, kept], dim=1)
                t, log_scale = self._split(stepper(seen, offsets[step * len(offsets) // steps]), x.dtype)
                before = torch.cat([kept, (changed - t) * torch.exp(-log_scale)], dim=1)
                z[:, :, step] = before
                log_det = log_det - log_scale.sum(dim=1)
        return z, log_det

    def inverse(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map noise (B, C, T) to data in one parallel pass."""
        t, log_scale = self.shift_and_log_scale(z, cond)
        kept, changed = torch.split(z, [self.kept, self.channels - self.kept], dim=1)
        return torch.cat([kept, changed * torch.exp(log_scale) + t], dim=1), log_scale.sum(dim=(1, 2))

    def _split(self, out: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        t, log_scale = out.to(dtype).chunk(2, dim=1)
        log_scale = soft_clip(log_scale, self.log_s_bound)
        return t * torch.exp(log_scale) if self.scaled_shift else t, log_scale
