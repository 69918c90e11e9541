"""`vocoder-train guard`: fit the densities of the mel guard in closed form, and calibrate them."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from training.corpora.manifest import Entry, Manifest, read_manifest
from training.data.mel_variation import VariationConfig
from training.guard.examples import chosen, mels_of, two_parts
from training.guard.fitting import calibrate, fit_density, statistics_of
from training.loop.checkpointing import CheckpointError
from training.model_card import model_card
from training.provenance import provenance
from training.run_config import add_run_arguments, load_config, write_config
from vocoder.checkpoint import save_model
from vocoder.config import ConfigError, to_dict
from vocoder.guard.layouts import SHUFFLED, TRUE, VARIATIONS, layout_of, layouts
from vocoder.mel.config import preset
from vocoder.models.guard import GuardConfig, GuardModel

__all__ = ["GuardRun", "add_arguments", "run"]


@dataclass(frozen=True)
class GuardRun:
    """Everything that a run of `vocoder-train guard` depends on.

    Raises:
        ConfigError: a value is out of range.
    """

    manifest: str
    """manifest.jsonl of a prepared corpus"""
    output: str
    """folder of the run, with the model in last/model"""
    model: GuardConfig
    variation: VariationConfig = field(default_factory=VariationConfig)
    utterances: int = 600
    """of the training split, at most"""
    calibration_share: float = 0.3
    """of them, which no density is fitted to"""
    slack: float = 0.05
    """nats per value that mels of other voices may be less likely than all of those"""
    least_margin: float = 0.01
    """nats per value by which another convention must explain a mel better"""
    seed: int = 0

    def __post_init__(self) -> None:
        known, variations = layouts(), ("", SHUFFLED, *VARIATIONS)
        for name in self.model.densities:
            if layout_of(name) not in known or name.partition(":")[2] not in variations:
                raise ConfigError(f"there is no density {name!r}: LAYOUT or LAYOUT:VARIATION, of {', '.join(known)}")
        if self.model.densities[0] != TRUE:
            raise ConfigError(f"the first density must be {TRUE!r}, not {self.model.densities[0]!r}")
        if self.utterances < 2 or not 0 < self.calibration_share < 1:
            raise ConfigError(f"utterances must be 2 or more, calibration_share between 0 and 1: {self}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_run_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    config = load_config(GuardRun, args.config, args.overrides)
    output = Path(config.output)
    if (output / "last").exists():
        raise CheckpointError(f"{output} already holds a run, and one in closed form has nothing to go on with")
    manifest = read_manifest(config.manifest)
    entries = two_parts(chosen(manifest, config.utterances, config.seed), config.calibration_share)
    model = GuardModel(config.model)
    own = _fit(model, config, manifest, *entries)
    _round(model)
    true = own[0]
    calibrate(model, true, own, config.variation, config.slack, config.least_margin, config.seed)
    origin = provenance(manifest)
    parameters = sum(p.numel() for p in model.parameters())
    mel_config = preset(TRUE)
    card = model_card("guard", "guard", parameters, to_dict(mel_config), origin, {})
    output.mkdir(parents=True, exist_ok=True)
    write_config(config, output / "config.yaml")
    directory = save_model(output / "last" / "model", model, mel_config, origin, None, torch.float16, card)
    size = (directory / "model.safetensors").stat().st_size
    print(f"{directory}: {len(config.model.densities)} densities, {size / 1e6:.2f} MB in float16")
    return 0


def _fit(
    model: GuardModel, config: GuardRun, manifest: Manifest, fitted: list[Entry], held: list[Entry]
) -> list[list[Tensor]]:
    """Fit every density; return the mels of each that are left to calibrate it."""
    names, own = config.model.densities, list[list[Tensor]]()
    mels: dict[str, list[Tensor]] = {}
    for k, name in enumerate(names):
        layout_name, _, variation = name.partition(":")
        layout = layouts()[layout_name]
        if layout_name not in mels:
            mels = {layout_name: mels_of(manifest, [*fitted, *held], layout.mel_config)}
        first, rest = mels[layout_name][: len(fitted)], mels[layout_name][len(fitted) :]
        density = model.densities[k]
        fit_density(density, first, layout, variation, config.model, config.variation, config.seed + k)  # type: ignore[arg-type]
        model.mean[k], model.deviation[k] = statistics_of(first)
        own.append(_shuffled(rest, config.seed) if variation == SHUFFLED else rest)
        print(f"{name}: fitted to {len(first)} mels", flush=True)
    return own


def _shuffled(mels: list[Tensor], seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [mel[:, torch.randperm(mel.shape[1], generator=generator)] for mel in mels]


@torch.no_grad()
def _round(model: GuardModel) -> None:
    """Round the model as float16 will, so that it is calibrated as it is shipped."""
    for tensor in (*model.parameters(), model.mean, model.deviation):
        tensor.copy_(tensor.half().float())
