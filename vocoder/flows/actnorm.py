"""Activation normalisation (Glow, section 3.1)."""

from __future__ import annotations

import torch
from torch import Tensor

from vocoder.flows.elementwise import ElementwiseAffine

__all__ = ["ActNorm"]


class ActNorm(ElementwiseAffine):
    """Element-wise affine flow that takes its scale and shift from the first training batch.

    After that batch each channel of `z` has mean 0 and standard deviation 1, and the parameters are trained like any
    others. Whether this has happened is a buffer, so that a loaded model is never initialised a second time; it only
    happens in training mode and in the `forward` direction.
    """

    initialised: Tensor

    def __init__(self, channels: int, epsilon: float = 1e-6) -> None:
        super().__init__(channels)
        self.epsilon = epsilon
        self.register_buffer("initialised", torch.tensor(False))

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T), initialising from `x` if this is the first training batch."""
        if self.training and not self.initialised:
            self._initialise(x)
        return super().forward(x)

    @torch.no_grad()
    def _initialise(self, x: Tensor) -> None:
        std, mean = torch.std_mean(x, dim=(0, 2), correction=0)
        self.t.copy_(mean[:, None])
        self.log_s.copy_(torch.log(std + self.epsilon)[:, None])
        self.initialised.fill_(True)
