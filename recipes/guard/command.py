"""`python -m recipes guard`: fit the mel guard's densities and its recogniser of conventions, and calibrate both."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import torch

from recipes.guard.calibration import CalibrationConfig, calibrate_recogniser, calibration_material, true_mels
from recipes.guard.channel import ChannelConfig
from recipes.guard.fitting import calibrate, fit_density
from recipes.guard.learning import ConventionObjective, Learning, LessonItems, fit_temperature, lesson_of
from recipes.guard.material import Material, augmented_recordings, material_of, spoken_recordings
from recipes.guard.writing import Writer
from training.corpora.manifest import Entry, Manifest, read_manifest
from training.data.mel_variation import VariationConfig
from training.loop.checkpointing import CheckpointError
from training.loop.fit import fit
from training.loop.trainer_config import TrainerConfig
from training.model_card import model_card
from training.provenance import provenance
from training.run_config import add_run_arguments, load_config, write_config
from vocoder.checkpoint import save_model
from vocoder.config import ConfigError, to_dict
from vocoder.guard.encodings import PLAIN, encodings
from vocoder.guard.layouts import NOT_SPEECH, SHUFFLED, VARIATIONS, layouts
from vocoder.mel.config import preset
from vocoder.models.convention import ConventionNet
from vocoder.models.guard import GuardConfig, GuardModel

__all__ = ["GuardRun", "add_arguments", "run"]


@dataclass(frozen=True)
class GuardRun:
    """Everything that a run of `python -m recipes guard` depends on.

    Raises:
        ConfigError: a value is out of range.
    """

    manifest: str
    """manifest.jsonl of a prepared corpus"""
    output: str
    """folder of the run, with the model in last/model"""
    model: GuardConfig
    trainer: TrainerConfig
    """of the recogniser; its averaged weights are not used"""
    corpora: tuple[str, ...] = ()
    """that densities and recogniser are fitted to; all but those for the calibration if left out"""
    recordings: int = 4000
    """parts of their utterances, each varied and computed in every layout"""
    sample_rate: int | None = None
    """in Hz, that recordings count as having; their own if left out. As more they sound faster, and reach as high"""
    spoken: int = 300
    """utterances that espeak-ng makes on the spot, in other languages and voices than for the calibration"""
    prior: float = 1.0
    """how many times likelier the layout of true mels is beforehand than each of the others"""
    rounds: int = 2
    """how often each is written down in encodings drawn at random"""
    channel: ChannelConfig = field(default_factory=ChannelConfig)
    variation: VariationConfig = field(default_factory=VariationConfig)
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        true, variations = self.true, ("", SHUFFLED, *VARIATIONS)
        for name in self.model.densities:
            layout, _, variation = name.partition(":")
            if layout != true or variation not in variations:
                raise ConfigError(
                    f"there is no density {name!r}: {true} or {true}:VARIATION, of {', '.join(VARIATIONS)}"
                )
        if self.model.densities[0] != true:
            raise ConfigError(f"the first density must be {true!r}, not {self.model.densities[0]!r}")
        of_so_many = [name for name, layout in layouts().items() if layout.mel_config.n_mels == self.model.n_mels]
        _require_known(self.model.convention.layouts, (*of_so_many, SHUFFLED, NOT_SPEECH), true)
        _require_known(self.model.convention.encodings, tuple(encodings()), PLAIN)
        if both := set(self.corpora) & set(self.calibration.corpora):
            raise ConfigError(f"{', '.join(sorted(both))}: what is fitted to cannot calibrate")
        if self.recordings < 2 or self.rounds < 1 or self.spoken < 0 or self.prior <= 0:
            raise ConfigError(
                f"recordings must be 2 or more, rounds at least 1, spoken not negative, prior positive: {self}"
            )

    @property
    def true(self) -> str:
        """The layout of true mels: the first that has as many bands as the model."""
        found = [name for name, layout in layouts().items() if layout.mel_config.n_mels == self.model.n_mels]
        if not found or self.model.convention.n_mels != self.model.n_mels:
            raise ConfigError(f"no mels of {self.model.n_mels} bands are known, or convention.n_mels is another number")
        return found[0]


def _require_known(names: tuple[str, ...], known: tuple[str, ...], first: str) -> None:
    unknown = [name for name in names if name not in known]
    if unknown or names[0] != first:
        raise ConfigError(f"the recogniser tells {', '.join(known)} apart, {first} first, not {', '.join(names)}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_run_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    config = load_config(GuardRun, args.config, args.overrides)
    output = Path(config.output)
    if (output / "last").exists():
        raise CheckpointError(f"{output} already holds a run, and this one has nothing to go on with")
    manifest = read_manifest(config.manifest)
    fitted, held = _two_parts(manifest, config)
    torch.manual_seed(config.seed)
    model = GuardModel(config.model)
    names = tuple(name for name in config.model.convention.layouts if name in layouts())
    real = augmented_recordings(manifest, fitted, config.recordings, config.channel, config.seed)
    made = spoken_recordings(manifest.sample_rate, config.spoken, config.channel, config.seed)
    rate = config.sample_rate or manifest.sample_rate
    material = material_of(chain(real, made), names, rate, config.seed, "fitted to")
    _fit(model, config, material)
    others = calibration_material(manifest, held, names, config.channel, config.calibration, config.seed + 1, rate)
    _round(model)
    _calibrate(model, config, others)
    origin = provenance(Manifest(manifest.root, tuple(fitted)))
    parameters = sum(p.numel() for p in model.parameters())
    mel_config = preset(config.true)
    card = model_card(output.name, "guard", parameters, to_dict(mel_config), origin, {})
    output.mkdir(parents=True, exist_ok=True)
    write_config(config, output / "config.yaml")
    directory = save_model(output / "last" / "model", model, mel_config, origin, None, torch.float16, card)
    size = (directory / "model.safetensors").stat().st_size
    print(f"{directory}: {len(config.model.densities)} densities and a recogniser, {size / 1e6:.2f} MB in float16")
    return 0


def _two_parts(manifest: Manifest, config: GuardRun) -> tuple[list[Entry], list[Entry]]:
    """Return utterances to fit to, and those of other corpora to calibrate with.

    Raises:
        ConfigError: there are none of the one or the other.
    """
    train, held = manifest.select("train"), [e for e in manifest.entries if e.corpus in config.calibration.corpora]
    wanted = config.corpora or tuple({e.corpus for e in train} - set(config.calibration.corpora))
    fitted = [entry for entry in train if entry.corpus in wanted]
    if not fitted or not (held or config.calibration.spoken):
        raise ConfigError(f"{config.manifest} has no utterances to fit to, or none of other corpora to calibrate with")
    return fitted, held


def _fit(model: GuardModel, config: GuardRun, material: Material) -> None:
    floor, mels = layouts()[config.true].floor, [m for k in range(len(material)) for m in material.true_mel(k)]
    for k, name in enumerate(config.model.densities):
        variation = name.partition(":")[2]
        density = model.densities[k]
        fit_density(density, mels, floor, variation, config.model, config.variation, config.seed + k)  # type: ignore[arg-type]
        print(f"{name}: fitted to {len(mels)} mels", flush=True)
    writer = Writer(material, config.model.convention, config.variation, config.seed)
    each = range(len(material))
    lesson = lesson_of(example for _ in range(config.rounds) for k in each for example in writer.examples(k))
    print(f"recogniser: {len(lesson.layout)} mels", flush=True)
    objective = ConventionObjective(model.convention, preset(config.true), lesson)
    run = Learning(str(Path(config.output) / "recogniser"), config.trainer)
    fit(run, objective, LessonItems(lesson), LessonItems(lesson, 20), provenance={}, resume=False)
    model.cpu().eval()


def _calibrate(model: GuardModel, config: GuardRun, material: Material) -> None:
    writer = Writer(material, config.model.convention, config.variation, config.seed + 2)
    lesson = lesson_of(example for k in range(len(material)) for example in writer.examples(k))
    fit_temperature(model.convention, lesson)
    _lean(model.convention, config.prior)
    mels = true_mels(material)
    calibrate_recogniser(model, lesson, mels, config.variation, config.calibration, config.seed)
    settings = config.calibration
    calibrate(model, mels, config.variation, settings.slack, settings.least_margin, config.seed)


@torch.no_grad()
def _lean(net: ConventionNet, prior: float) -> None:
    """Make the first layout so many times likelier than it was to each of the others."""
    net.layout.bias[0] += net.temperature[0] * math.log(prior)


@torch.no_grad()
def _round(model: GuardModel) -> None:
    """Round the model as float16 will, so that it is calibrated as it is shipped."""
    for tensor in (*model.parameters(), model.convention.centre, model.convention.spread):
        tensor.copy_(tensor.half().float())
