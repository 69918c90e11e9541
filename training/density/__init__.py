"""Density models: classical flows over mels, digits and toys, which score and sample but make no audio."""

from training.density.flows import DensityConfig
from training.density.model import DensityModel

__all__ = ["DensityConfig", "DensityModel"]
