"""The objective of density models: the likelihood of items, or an autoencoder's bound of it."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

import torch

from training.density.families import FAMILIES
from training.density.items import LEVELS
from training.density.model import DensityModel
from training.density.vae import VariationalAutoencoder
from training.loop.objective import Batch, Objective, Parts, Phases
from training.publishing import model_card
from vocoder.checkpoint import save_model
from vocoder.mel.config import MelConfig

AnyDensity: TypeAlias = DensityModel | VariationalAutoencoder


class DensityObjective(Objective):
    """Negative log-likelihood in nats per dimension of items `x` (B, channels, frames), or its bound for autoencoders.

    Before the first step, the whitening is fitted in closed form to the first batches, from which actnorms start, too.
    It is not trained further, because small steps cannot improve a maximum-likelihood matrix.
    """

    model: AnyDensity
    families = FAMILIES

    def __init__(self, model: AnyDensity, mel_config: MelConfig, source: str) -> None:
        super().__init__(model, mel_config)
        self.source = source

    def phases(self) -> Phases:
        """Return one update of all parameters except the whitening's, or none if there are no others."""
        fitted = set() if self.model.whitening is None else set(self.model.whitening.parameters())
        others = tuple(p for p in self.model.parameters() if p not in fitted)
        return {"model": others} if others else {}

    def initialise(self, batches: Iterable[Batch]) -> None:
        """Fit the whitening to all items of the batches, then the actnorms to at most 1024 of them."""
        items = torch.cat([batch["x"] for batch in batches])
        self.model.fit_whitening(items)
        self.model.train()
        self.model(items[:1024])

    def parts(self, batch: Batch, step: int) -> Parts:
        """Return nats per dimension, and for digits also bits."""
        x = batch["x"]
        score = self.model(x) if isinstance(self.model, VariationalAutoencoder) else self.model.log_prob(x)
        nats = -score.mean() / x[0].numel()
        bits = (nats.detach() + math.log(LEVELS)) / math.log(2)
        return {"nats": (1.0, nats)} | ({"bits": (0.0, bits)} if self.source == "digits" else {})

    def export(self, directory: Path, provenance: dict[str, Any]) -> None:
        """Write the model directory."""
        provenance = {"source": self.source, **provenance}
        card = model_card(self.model.config.kind, self.model, self.mel_config, provenance, families=FAMILIES)
        save_model(directory, self.model, self.mel_config, provenance, card=card, families=self.families)
