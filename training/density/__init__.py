"""Density models: the classical flows over mels, digits and toys, which score and draw but do not speak."""

from training.density.flows import DensityConfig
from training.density.model import DensityModel

__all__ = ["DensityConfig", "DensityModel"]
