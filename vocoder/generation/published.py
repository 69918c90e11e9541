"""Generation with a published stack, by plain tensor operations."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from vocoder.distributions.base import Distribution
from vocoder.layers.published.stack import PublishedStack
from vocoder.layers.published.stepping import BLOCK, PublishedStepper

__all__ = ["PublishedGenerator"]


class PublishedGenerator:
    """Generate sample by sample, a batch at once: x_t = emphasis * x_{t-1} + (what the stack predicts) / gain.

    Args:
        stack: of the model.
        distribution: of a sample.
        cond: (B, cond_channels, T) the condition of the first samples.
        encode: turns samples (B, 1) into the stack's inputs (B, in_channels, 1).
        emphasis: coefficient of the pre-emphasis.
        gain: of what the stack hears over the audio.
    """

    def __init__(
        self,
        stack: PublishedStack,
        distribution: Distribution,
        cond: Tensor,
        encode: Callable[[Tensor], Tensor],
        emphasis: float,
        gain: float,
    ) -> None:
        self.distribution = distribution
        self._stepper = PublishedStepper(stack, cond.shape[0])
        self._cond, self._encode = cond, encode
        self._emphasis, self._gain, self._log_scale = emphasis, gain, -math.log(gain)
        self._before = self._earlier = cond.new_zeros(cond.shape[0], 1)
        self._time = 0

    def follow(self, cond: Tensor) -> None:
        """Take the condition (B, cond_channels, T) of the samples after those that were generated.

        Raises:
            ValueError: some samples of the condition before it have not been generated.
        """
        if self._time != self._cond.shape[2]:
            raise ValueError(f"{self._cond.shape[2] - self._time} samples are still to be generated")
        self._cond, self._time = cond, 0

    @torch.no_grad()
    def advance(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Generate the next samples x (B, T) from noise z (B, T), and log |dx / dz| of each."""
        xs, stretches = [], []
        for t in range(z.shape[1]):
            x, stretch = self.distribution.inverse(self._conditional(), z[:, t : t + 1].to(self._before.dtype))
            self._append(x)
            xs.append(x)
            stretches.append(stretch)
        return torch.cat(xs, dim=1), torch.cat(stretches, dim=1)

    @torch.no_grad()
    def feed(self, x: Tensor) -> Tensor:
        """Follow given samples x (B, T), and return the parameters (B, K, T) of their distributions."""
        params = []
        for t in range(x.shape[1]):
            params.append(self._conditional())
            self._append(x[:, t : t + 1])
        return torch.cat(params, dim=2)

    def _conditional(self) -> Tensor:
        """Return the parameters (B, K, 1) of the next sample."""
        if self._time % BLOCK == 0:
            self._stepper.listen(self._cond[:, :, self._time : self._time + BLOCK])
        heard = self._gain * (self._before - self._emphasis * self._earlier)
        raw = self._stepper(self._encode(heard)[:, :, 0]).to(heard.dtype)
        shift = self._emphasis * self._before
        return self.distribution.place(raw[:, :, None], shift, torch.full_like(shift, self._log_scale))

    def _append(self, x: Tensor) -> None:
        self._earlier, self._before = self._before, x
        self._time += 1
