"""Element-wise affine flow whose scale and shift are predicted from the condition."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.flows.base import Flow

__all__ = ["ConditionalAffine"]

WEIGHT_SCALE = 0.1


class ConditionalAffine(Flow):
    """Scale and shift each element by a convolution of the condition: z = x * exp(-log_s) - t.

    The shift is in units of the scale: where a band is nearly silent, a shift in units of `x` would be many standard
    deviations as soon as an optimiser moves it.

    `log_det` = -sum(log_s). The convolution is linear so that least squares can initialise it from data: with the
    mel as condition it starts as the regression of the log-energy of each band on the mel. Its weights are stored
    ten times as large as they act: hundreds of inputs move each log-scale, and an optimiser that moves all of them
    by its learning rate at once would overshoot.

    Args:
        channels: C of the signal.
        cond_channels: channels of the condition, (B, cond_channels, T).
        kernel_size: odd number of condition frames that each element sees.
        log_s_floor: soft lower bound of `log_s`, the logarithm of the weakest noise that data can hold; a linear
            map of an unusually quiet condition would otherwise promise a precision that no data has.
    """

    def __init__(
        self, channels: int, cond_channels: int, kernel_size: int = 3, log_s_floor: float | None = None
    ) -> None:
        super().__init__()
        if kernel_size % 2 != 1:
            raise ValueError(f"the kernel size must be odd, not {kernel_size}")
        self.channels = channels
        self.kernel_size = kernel_size
        self.log_s_floor = log_s_floor
        self.projection = nn.Conv1d(cond_channels, 2 * channels, kernel_size, padding=kernel_size // 2)
        nn.init.zeros_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T)."""
        t, log_s = self._shift_and_log_scale(cond)
        return x * torch.exp(-log_s) - t, -log_s.sum(dim=(1, 2))

    def inverse(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T)."""
        t, log_s = self._shift_and_log_scale(cond)
        return (z + t) * torch.exp(log_s), log_s.sum(dim=(1, 2))

    @torch.no_grad()
    def set_log_scale(self, weight: Tensor, bias: Tensor, first: int = 0) -> None:
        """Set the regression of `log_s` on the condition, of channels from number `first` on, and their shift to 0.

        Args:
            weight: (C, cond_channels, kernel_size).
            bias: (C,).
            first: number of the first channel that is set.
        """
        scale, shift = slice(self.channels + first, None), slice(first, self.channels)
        self.projection.weight[scale].copy_(weight[first:] / WEIGHT_SCALE)
        self.projection.bias[scale].copy_(bias[first:] / WEIGHT_SCALE)  # type: ignore[index]
        self.projection.weight[shift].zero_()
        self.projection.bias[shift].zero_()  # type: ignore[index]

    def _shift_and_log_scale(self, cond: Tensor | None) -> tuple[Tensor, Tensor]:
        if cond is None:
            raise ValueError("a conditional affine flow needs its condition")
        t, log_s = (WEIGHT_SCALE * self.projection(cond)).chunk(2, dim=1)
        if self.log_s_floor is not None:
            log_s = self.log_s_floor + F.softplus(log_s - self.log_s_floor)
        return t, log_s
