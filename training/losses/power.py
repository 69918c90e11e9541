"""The power loss: as much energy at each frequency as the recording has (Parallel WaveNet, section 4.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.losses.spectral import spectrum

__all__ = ["PowerLoss"]


class PowerLoss(nn.Module):
    """Squared distance of the short-time power, averaged over time, from that of the recording.

    Averaging over time leaves a student free where in time the energy goes, but not to whisper. The distance is
    relative to the recording's own power, so that quiet utterances count as much as loud ones.

    Args:
        n_fft: of the transform in samples, with a Hann window of that size and a quarter of it as hop.
        floor: power per frequency below which a recording counts as silence; 1 is white noise of variance 1.
    """

    window: Tensor

    def __init__(self, n_fft: int = 1024, floor: float = 1e-8) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.floor = floor
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    def forward(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """Return the mean distance of generated audio x_hat (B, T) from x (B, T), a scalar."""
        generated, recorded = self.power(x_hat), self.power(x)
        distance = (generated - recorded).square().sum(dim=1)
        mean: Tensor = (distance / (recorded.square().sum(dim=1) + recorded.shape[1] * self.floor**2)).mean()
        return mean

    def power(self, x: Tensor) -> Tensor:
        """Return the power (B, n_fft // 2 + 1) of audio (B, T), averaged over time."""
        return torch.view_as_real(spectrum(x, self.n_fft, self.window)).square().sum(dim=3).mean(dim=2)
