"""The families of density models, for `vocoder.checkpoint.load_model` and `save_model`."""

from types import MappingProxyType

from training.density.flows import DensityConfig
from training.density.model import DensityModel
from training.density.vae import VAEConfig, VariationalAutoencoder
from vocoder.models.families import Families, Family

FAMILIES: Families = MappingProxyType(
    {
        "density": Family(DensityConfig, DensityModel),
        "vae": Family(VAEConfig, VariationalAutoencoder),
    }
)
