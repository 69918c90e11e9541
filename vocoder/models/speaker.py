"""What a model must offer to speak."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from torch import Tensor

__all__ = ["Sampler", "Speaker"]


@runtime_checkable
class Speaker(Protocol):
    """A flow from noise z (B, C, steps) and a mel (B, n_mels, frames) to audio (B, frames * hop_length).

    Attributes:
        config: of the architecture; its `sigma` is the default sampling temperature.
    """

    config: Any

    @property
    def context(self) -> int:
        """Number of mel frames on each side that a frame of audio depends on."""

    def noise_shape(self, batch: int, frames: int) -> tuple[int, int, int]:
        """Return (B, C, steps) of the noise for a mel of that many frames."""

    def prior(self, noise: Tensor, mel: Tensor, sigma: float | None = None) -> Tensor:
        """Turn white noise (B, C, steps) into the `z` to sample from."""

    def inverse(self, z: Tensor, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Return audio and log_det."""


@runtime_checkable
class Sampler(Protocol):
    """A speaker that knows a shorter way from noise to audio than `inverse` of `prior`, with the same result."""

    def sample(self, noise: Tensor, mel: Tensor, sigma: float | None = None) -> Tensor:
        """Turn white noise (B, C, steps) into audio (B, frames * hop_length)."""
