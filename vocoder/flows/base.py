"""The interface of every bijection in this project."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Flow(nn.Module, ABC):
    """An invertible map between data `x` and noise `z` with a known log-determinant.

    `forward` maps data to noise and `inverse` noise to data; they are exact inverses of each other. Signals are
    (B, C, T); a vector is a signal with T = 1. `log_det` has shape (B,): the logarithm of |det d output / d input| in
    the direction that was called, one value per item, never summed over the batch.

    `log_s` of a step is log |dz / dx|; steps that are parametrised by the scale of the data use log |dx / dz|, called
    `log_scale`.
    """

    @abstractmethod
    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map data to noise and return `(z, log_det)`."""

    @abstractmethod
    def inverse(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map noise to data and return `(x, log_det)`."""


def over_time(log_det: Tensor, x: Tensor) -> Tensor:
    """Return the log-determinant (B,) of a signal x (B, C, T) from that of each step."""
    return (log_det * x.shape[2]).expand(x.shape[0])
