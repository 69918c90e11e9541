"""Linear prediction: from power spectra to coefficients, and from coefficients to predictions."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["autocorrelation", "lag_window", "levinson", "predict"]


def autocorrelation(power: Tensor, order: int) -> Tensor:
    """Return the autocorrelation (..., order + 1) of power spectra (..., n_fft // 2 + 1).

    The spectra are densities: their mean over the whole circle is the variance, which is lag 0.
    """
    r: Tensor = torch.fft.irfft(power)
    return r[..., : order + 1]


def lag_window(order: int, sample_rate: int, bandwidth: float) -> Tensor:
    """Return the window (order + 1,) on lags that convolves spectra with a Gaussian of that deviation in Hz."""
    lags = torch.arange(order + 1, dtype=torch.float64)
    return torch.exp(-0.5 * (2 * math.pi * bandwidth * lags / sample_rate).square())


def levinson(r: Tensor) -> tuple[Tensor, Tensor]:
    """Solve the normal equations of linear prediction by the Levinson-Durbin recursion.

    Args:
        r: autocorrelation (..., order + 1), positive definite; float64 for spectra of wide range.

    Returns:
        The coefficients (..., order) of x_t = sum_k coefficient_k x_{t-k} + error, k from 1, and the variance (...)
        of the error. The predictor's synthesis filter is stable.
    """
    order = r.shape[-1] - 1
    error = r[..., 0]
    coefficients = r[..., :0]
    for i in range(order):
        explained = (coefficients * r[..., 1 : i + 1].flip(-1)).sum(-1)
        reflection = (r[..., i + 1] - explained) / error
        coefficients = coefficients - reflection[..., None] * coefficients.flip(-1)
        coefficients = torch.cat([coefficients, reflection[..., None]], dim=-1)
        error = error * (1 - reflection.square())
    return coefficients, error


def predict(x: Tensor, coefficients: Tensor) -> Tensor:
    """Predict each sample from those before it; samples before the first are zero.

    Args:
        x: signal (B, T).
        coefficients: (B, blocks, order), each for T / blocks consecutive samples.

    Returns:
        The predictions (B, T).
    """
    batch, blocks, order = coefficients.shape
    past = F.pad(x, (order, 0))[:, :-1].unfold(1, order, 1)
    past = past.reshape(batch, blocks, -1, order)
    return (past @ coefficients.flip(-1)[..., None]).reshape(batch, -1)
