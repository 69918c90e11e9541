"""The configuration of a variational autoencoder of mel patches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vocoder.config import ConfigError

__all__ = ["VAEConfig"]


@dataclass(frozen=True)
class VAEConfig:
    """Architecture of a variational autoencoder of items (channels, frames).

    Raises:
        ConfigError: a value is out of range.
    """

    kind: Literal["iaf_vae", "vae"] = "iaf_vae"
    """posterior: an inverse autoregressive flow, or the diagonal Gaussian alone that it starts from (mean field)"""
    channels: int = 80
    """rows of an item: mel bins"""
    frames: int = 16
    """columns of an item: neighbouring mel frames"""
    latent: int = 32
    """numbers in the code of an item"""
    hidden: tuple[int, ...] = (512, 512)
    """units of encoder and decoder"""
    flows: int = 4
    """steps of the inverse autoregressive flow"""
    flow_hidden: tuple[int, ...] = (256, 256)
    """units of each step's masked network"""
    context: int = 64
    """numbers that the encoder tells every step of the flow"""
    log_s_bound: float = 3.0
    """soft bound of the decoder's log-scales, in units of the rows' standard deviations"""

    def __post_init__(self) -> None:
        for name in ("channels", "frames", "flows", "context"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.latent < 2:
            raise ConfigError(f"a code needs two numbers or more, not {self.latent}")
        if not self.hidden or not self.flow_hidden or min(*self.hidden, *self.flow_hidden) < 1:
            raise ConfigError("hidden and flow_hidden must list the units of one layer or more")
        if self.log_s_bound <= 0:
            raise ConfigError(f"log_s_bound must be positive, not {self.log_s_bound}")

    @property
    def dimensions(self) -> int:
        """Numbers in an item."""
        return self.channels * self.frames
