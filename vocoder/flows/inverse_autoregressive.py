"""Inverse autoregressive flow (Kingma et al., 2016; Parallel WaveNet, section 3.1)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from vocoder.flows.base import Flow
from vocoder.flows.coupling import soft_clip
from vocoder.layers.stack.plain import StackStepper, gate_offsets
from vocoder.layers.stack.wavenet import WaveNetStack


class InverseAutoregressive(Flow):
    """Scale and shift each step by functions of the *noise* before it: x = z * exp(log_scale) + t.

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
