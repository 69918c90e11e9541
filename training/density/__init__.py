"""Density models: the classical flows over mels, digits and toys, which score and draw but do not speak.

Importing this package makes their directories known to `vocoder.checkpoint.load_model`.
"""

from training.density.flows import DensityConfig
from training.density.model import DensityModel
from training.density.vae import VAEConfig, VariationalAutoencoder
from vocoder.models.families import FAMILIES, Family

FAMILIES["density"] = Family(DensityConfig, DensityModel, measurable=False)
FAMILIES["vae"] = Family(VAEConfig, VariationalAutoencoder, measurable=False)
