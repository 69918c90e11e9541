"""The contract that every bijection of this project obeys."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Flow(nn.Module, ABC):
    """An invertible map between data `x` and noise `z` with a known log-determinant.

    `forward` is data to noise and `inverse` noise to data, each other's exact inverse. Signals are (B, C, T); a
    vector is a signal with T = 1. `log_det` has shape (B,): the logarithm of |det d output / d input| of the
    direction that was called, one value for each item and never summed over the batch.

    `log_s` of a step is log |dz / dx|; where a step is written by the scale of the data, log |dx / dz| is `log_scale`.
    """

    @abstractmethod
    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map data to noise and return `(z, log_det)`."""

    @abstractmethod
    def inverse(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map noise to data and return `(x, log_det)`."""


def over_time(log_det: Tensor, x: Tensor) -> Tensor:
    """Return the log-determinant (B,) of a signal x (B, C, T) each step of which has the given one."""
    return (log_det * x.shape[2]).expand(x.shape[0])
