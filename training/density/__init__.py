"""Density models: the classical flows over mels, digits and toys, which score and draw but do not speak.

Importing this package makes their directories known to `vocoder.checkpoint.load_model`.
"""

from training.density.flows import DensityConfig
from training.density.model import DensityModel
from training.density.vae import VAEConfig, VariationalAutoencoder
from vocoder.models.families import Family, register

register("density", Family(DensityConfig, DensityModel, measurable=False))
register("vae", Family(VAEConfig, VariationalAutoencoder, measurable=False))
