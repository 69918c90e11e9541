"""`vocoder-train density`: fit a density model of mels, digits or toy data."""

import argparse
import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias, get_args

import torch
from accelerate.utils import set_seed

from training.density.families import FAMILIES
from training.density.flows import CLOSED_FORM, DensityConfig, Kind
from training.density.items import LEVELS, TOYS, DataConfig, items_of
from training.density.model import DensityModel
from training.density.vae import VAEConfig, VariationalAutoencoder
from training.loop.objective import Batch, Objective, Parts, Phases
from training.loop.trainer import fit
from training.loop.trainer_config import RunConfig
from training.provenance import provenance, surroundings
from training.publishing import model_card
from training.run_config import add_run_arguments, load_config
from training.runs.corpus_run import corpus_at
from vocoder.checkpoint import save_model
from vocoder.config import Rules
from vocoder.mel.config import MelConfig
from vocoder.mel.config_file import load_mel_config

CONFIGS = Path(__file__).parent
KINDS = (*get_args(Kind), "vae", "iaf_vae")


@dataclass(frozen=True)
class DensityRun(RunConfig):
    """The configuration of a run of `vocoder-train density`."""

    model: DensityConfig | VAEConfig = field(default_factory=DensityConfig)
    data: DataConfig = field(default_factory=DataConfig)
    manifest: str | None = None
    """manifest.jsonl of a prepared corpus, for mels"""
    mel: str = "nvidia"
    """mel preset or mel config file, for mels"""

    def _rules(self) -> Rules:
        shape = (self.model.channels, self.model.frames)
        mels = load_mel_config(self.mel).n_mels, self.model.frames
        expected = {"mels": mels, "digits": (8, 8)}.get(self.data.source, (2, 1))
        names, source = "model.channels and model.frames", self.data.source
        yield shape == expected, f"{names} are {shape}, but items of {source} are {expected}"
        found = source != "mels" or self.manifest is not None
        yield found, "mels need `manifest`, a prepared corpus; or choose data.source=digits, which needs none"
        fits = not isinstance(self.model, DensityConfig) or (self.model.logit_alpha is not None) == (source == "digits")
        yield fits, "model.logit_alpha must be set for digits, which lie in (0, 1), and for nothing else"

    @classmethod
    def complete(cls, settings: dict[str, Any]) -> None:
        """Set the channels of a density of mels to the number of bands, unless the settings give them."""
        model, source = settings.get("model"), (settings.get("data") or {}).get("source", "mels")
        if isinstance(model, dict) and source == "mels":
            model.setdefault("channels", load_mel_config(str(settings.get("mel", "nvidia"))).n_mels)


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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    add("--model", choices=KINDS, metavar="KIND", help=", ".join(KINDS))
    add("--data", metavar="DATA", help=f"digits, {', '.join(TOYS)}, a manifest, or a corpus of the configured manifest")
    add_run_arguments(parser, required=False)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    file = args.config or default_config(args.model, args.data)
    config = load_config(DensityRun, file, [*shorthands(args.model, args.data), *args.overrides])
    set_seed(config.trainer.seed)
    mel_config, corpus = load_mel_config(config.mel), config.manifest if config.data.source == "mels" else None
    manifest = None if corpus is None else corpus_at(corpus, mel_config.sample_rate)
    items, held_out = (items_of(config.data, config.model.frames, mel_config, manifest, s) for s in (False, True))
    wanted = config.model
    model = DensityModel(wanted) if isinstance(wanted, DensityConfig) else VariationalAutoencoder(wanted)
    if config.model.kind in CLOSED_FORM:  # initialisation on a whole epoch gives the maximum likelihood
        epoch = max(len(items) // config.trainer.batch_size, 1)  # a shorter one is refused later
        config = replace(config, trainer=replace(config.trainer, initialisation_batches=epoch))
    origin = surroundings() if manifest is None else provenance(manifest)
    objective = DensityObjective(model, mel_config, config.data.source)
    fit(config, objective, items, held_out, provenance=origin, resume=args.resume)
    return 0


def default_config(model: str | None, data: str | None) -> Path:
    """Return the default configuration file for a kind of model and data."""
    if model in ("vae", "iaf_vae"):
        return CONFIGS / "vae.yaml"
    return CONFIGS / ("digits.yaml" if data == "digits" else "toys.yaml" if data in TOYS else "mels.yaml")


def shorthands(model: str | None, data: str | None) -> list[str]:
    """Return `--model` and `--data` as overrides."""
    found = [] if model is None else [f"model.kind={model}"]
    if data is None:
        return found
    if data in ("mels", "digits", *TOYS):
        return [*found, f"data.source={data}"]
    return [*found, "data.source=mels", f"manifest={data}" if Path(data).exists() else f"data.corpora=[{data}]"]
