"""`python -m recipes guard`: fit and calibrate the mel guard's densities and its recogniser of conventions."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import torch

from recipes.guard.fitting import ConventionObjective, calibrate, fit_densities, lesson_of
from recipes.guard.recordings import to_calibrate, to_fit
from recipes.guard.variation import VariationConfig
from recipes.guard.writing import Material
from training.corpora.manifest import Entry, Manifest, read_manifest
from training.loop.batches import FixedItems
from training.loop.trainer import fit
from training.loop.trainer_config import RunConfig
from training.provenance import provenance
from training.publishing import model_card
from training.run_config import command_of
from vocoder.checkpoint import save_model
from vocoder.config import Checked, ConfigError, Count, NotNegativeInt, Positive
from vocoder.mel.config import preset
from vocoder.mel.conventions import NOT_SPEECH, PLAIN, SHUFFLED, VARIATIONS, encodings, layouts
from vocoder.models.guard import GuardConfig, GuardModel


@dataclass(frozen=True)
class CalibrationConfig(Checked):
    """The data for calibrating the guard."""

    corpora: tuple[str, ...] = ()
    """corpora of the manifest that are used only for calibration"""
    recordings: int = 600
    """maximum number of their utterances"""
    spoken: NotNegativeInt = 100
    """utterances that espeak-ng makes on the spot"""


@dataclass(frozen=True)
class GuardRun(RunConfig):
    """The configuration of `python -m recipes guard`; `trainer` is for the recogniser only."""

    manifest: str
    """manifest.jsonl of a prepared corpus"""
    model: GuardConfig
    corpora: tuple[str, ...] = ()
    """corpora to fit densities and recogniser to; by default all except those for calibration"""
    recordings: Annotated[int, (2, math.inf)] = 4000
    """number of segments of their utterances, each augmented and computed in every layout"""
    spoken: NotNegativeInt = 300
    """number of utterances made with espeak-ng, in other languages and voices than for calibration"""
    prior: Positive = 1.0
    """prior odds of the layout of true mels against each other layout, and of natural logarithms against others"""
    rounds: Count = 2
    """number of times that each segment is written in randomly drawn encodings"""
    variation: VariationConfig = field(default_factory=VariationConfig)
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        true, convention = self.true, self.model.convention
        variations = tuple(f"{true}:{name}" for name in (SHUFFLED, *VARIATIONS))
        _require_known("densities", self.model.densities, (true, *variations))
        _require_known("convention.layouts", convention.layouts, (*self._of_its_bands(), SHUFFLED, NOT_SPEECH))
        _require_known("convention.encodings", convention.encodings, (PLAIN, *encodings()))
        if both := set(self.corpora) & set(self.calibration.corpora):
            raise ConfigError(f"{', '.join(sorted(both))} cannot be used both for fitting and for calibration")

    @property
    def true(self) -> str:
        """The layout of true mels: the first one with the model's number of bands."""
        found = self._of_its_bands()
        if not found or self.model.convention.n_mels != self.model.n_mels:
            raise ConfigError(f"no layout has {self.model.n_mels} bands, or convention.n_mels is not model.n_mels")
        return found[0]

    def _of_its_bands(self) -> list[str]:
        return [name for name, layout in layouts().items() if layout.mel_config.n_mels == self.model.n_mels]


def _require_known(setting: str, names: tuple[str, ...], known: tuple[str, ...]) -> None:
    if names[0] != known[0] or not set(names) <= set(known):
        right = ", ".join(dict.fromkeys(known))
        raise ConfigError(f"model.{setting} must start with {known[0]} and be among {right}, not {', '.join(names)}")


def train(config: GuardRun, resume: bool) -> None:
    """Fit and calibrate the guard of a configuration."""
    manifest = read_manifest(config.manifest)
    fitted, held = _two_parts(manifest, config)
    torch.manual_seed(config.seed)
    model = GuardModel(config.model)
    names = tuple(name for name in config.model.convention.layouts if name in layouts())
    seed, rate = config.seed, manifest.sample_rate
    recordings = to_fit(manifest, fitted, config.recordings, config.spoken, seed)
    material = Material(recordings, names, rate, seed, "fitted to")
    fit_densities(model, material.true_mels(), layouts()[config.true].floor, config.variation, seed)
    lesson = lesson_of(material, model, config.variation, seed, config.rounds)
    print(f"recogniser: {len(lesson)} mels", flush=True)
    some = FixedItems(**{name: values[::20] for name, values in lesson.tensors.items()})
    objective = ConventionObjective(model.convention, preset(config.true), lesson)
    last = fit(config, objective, lesson, some, resume=resume)
    model.cpu().eval().half().float()  # rounds to float16, so that it is calibrated as shipped
    recordings = to_calibrate(manifest, held, config.calibration.spoken, seed + 1)
    material = Material(recordings, names, rate, seed + 1, "calibrated with")
    lesson = lesson_of(material, model, config.variation, seed + 2)
    calibrate(model, lesson, material.true_mels(), config.variation, config.prior, seed)
    origin, mel_config = provenance(Manifest(manifest.root, tuple(fitted))), preset(config.true)
    card = model_card(Path(config.output).name, model, mel_config, origin)
    directory = save_model(last, model, mel_config, origin, None, torch.float16, card)
    size = (directory / "model.safetensors").stat().st_size
    print(f"{directory}: {len(config.model.densities)} densities and a recogniser, {size / 1e6:.2f} MB in float16")


def _two_parts(manifest: Manifest, config: GuardRun) -> tuple[list[Entry], list[Entry]]:
    """Return utterances for fitting, and utterances of other corpora for calibration.

    Raises ConfigError if there are none for one of them.
    """
    aside = config.calibration
    train, held = manifest.select("train"), [e for e in manifest.entries if e.corpus in aside.corpora]
    wanted = config.corpora or tuple({e.corpus for e in train} - set(aside.corpora))
    fitted = [entry for entry in train if entry.corpus in wanted]
    if not fitted or not (held or aside.spoken):
        raise ConfigError(f"{config.manifest} has no utterances for fitting, or none of other corpora for calibration")
    order = np.random.default_rng(config.seed + 1).permutation(len(held))[: aside.recordings]
    return fitted, [held[i] for i in order]


add_arguments, run = command_of(GuardRun, train)
