"""How each kind of model is fine-tuned: its start, the configuration of the run, and the time of one step."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from training.corpora.manifest import Manifest
from training.corpora.mapping import with_bar
from training.critics import critics_beside
from training.finetune.budget import Budget
from training.loop.processes import Averages
from training.loop.trainer import Trainer
from training.runs.reverse import ReverseRun
from training.runs.waveglow import WaveGlowRun
from vocoder.checkpoint import Checkpoint, load_model
from vocoder.config import ConfigError, from_dict, to_dict
from vocoder.loading import model_directory
from vocoder.mel.config import PRESETS
from vocoder.mel.config_file import read_settings
from vocoder.stages import MEL

Run: TypeAlias = ReverseRun | WaveGlowRun
RUNS: dict[str, type[ReverseRun] | type[WaveGlowRun]] = {"reverse": ReverseRun, "waveglow": WaveGlowRun}
"""the runs that fine-tune models, by family"""
RECIPE = Path(__file__).with_suffix(".yaml")
"""settings of runs: of all families, of each family, and for predicted mels"""
TIMED_STEPS = 4  # steps timed together; equals `likelihood_every`, so that every kind of step is included
TIMED_ROUNDS = 2
PACE_STEPS = 1 + TIMED_ROUNDS * TIMED_STEPS
_PROBE = Budget(1.0, 1)


@dataclass(frozen=True)
class Start:
    """The model that a fine-tuning starts from, without its weights."""

    reference: str
    directory: Path
    checkpoint: Checkpoint

    @classmethod
    def of(cls, reference: str) -> "Start":
        """Describe a model given by directory or name; raises ConfigError if it cannot be fine-tuned."""
        directory = model_directory(reference)
        checkpoint = load_model(directory, weights=False)
        if PRESETS.get(checkpoint.mel_config.name) != checkpoint.mel_config:
            raise ConfigError(f"the mel config of {reference} must be one of the presets {', '.join(PRESETS)}")
        if checkpoint.family not in RUNS:
            known = " or a ".join(RUNS)
            raise ConfigError(f"{reference} is a {checkpoint.family}: fine-tuning must start from a {known}")
        return cls(reference, directory, checkpoint)


def written_run(file: Path) -> Run:
    """Read the configuration of a run from its config.yaml."""
    settings = read_settings(file)
    settings.get("trainer", {}).pop("recompute", None)  # written by version 0.2
    return from_dict(RUNS[Start.of(settings["start_from"]).checkpoint.family], settings)


def recipe(
    start: Start,
    manifest: Path,
    output: Path,
    budget: Budget = _PROBE,
    seed: int = 0,
    predicted: bool = False,
    only_above_mel: bool = False,
) -> Run:
    """Return the configuration of a fine-tuning.

    Training samples get fewer corrections than the model makes; validation uses the model's number. Critics stored
    beside the weights judge from the first step; new ones learn for a quarter of the steps before their loss counts. If
    recordings come with predicted mels, critics count more, and models that correct towards the given mel stop
    correcting, in training and in use.
    """
    judged, steps, given = critics_beside(start.directory), budget.steps, start.checkpoint.model
    settings = _settings(start, predicted, only_above_mel)
    model = to_dict(given.config) | settings.get("model", {})
    own = {
        "manifest": str(manifest),
        "output": str(output),
        "mel": start.checkpoint.mel_config.name,
        "start_from": start.reference,
        "model": model,
        "losses": {
            "critics_from": steps // 4 if judged is None else 0,
            "critics": {} if judged is None else to_dict(judged[0]),
            "sample_corrections": min(settings["losses"]["sample_corrections"], model["corrections"]),
        },
        "segments": {"seed": seed},
        "trainer": {
            "steps": steps,
            "warmup_steps": max(steps // 10, 1),
            "ema_decay": min(0.997, max(0.5, 1 - 1 / (0.1 * steps))) if steps > 1 else 0.0,  # over a tenth of them
            "seed": seed,
            "log_steps": max(steps // 40, 1),
            "validation_steps": steps,  # only before and after; the scores on recordings decide what is published
            "max_minutes": budget.limit,
        },
    }
    run, settings = RUNS[start.checkpoint.family], _merged(settings, own)
    if run is WaveGlowRun:
        settings["losses"]["likelihood_every"] = TIMED_STEPS
    run.complete(settings)
    return from_dict(run, settings)


def _settings(start: Start, predicted: bool, only_above_mel: bool) -> dict[str, Any]:
    groups, given = ["every", start.checkpoint.family], start.checkpoint.model
    if predicted:
        groups.append("predicted-uncorrected" if given.target == MEL else "predicted")
    if only_above_mel:
        groups.append("only-above-mel")
    known = read_settings(RECIPE)
    return reduce(_merged, [known[group] for group in groups])


def _merged(settings: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested settings in which others replace those of the same name."""
    groups = {name: _merged(settings.get(name, {}), some) for name, some in others.items() if isinstance(some, dict)}
    return {**settings, **others, **groups}


def seconds_per_step(config: Run, manifest: Manifest) -> float:
    """Return the mean time in seconds of a few steps of a run on this machine; the steps are discarded.

    The result is the smallest of `TIMED_ROUNDS` means, which reduces the influence of other programs.
    """
    objective = config.objective()
    items = config.items(manifest, objective, held_out=False)
    trainer = Trainer(objective, items, items, config.trainer, Path(config.output) / "pace")
    batch, progress, averages = next(trainer.batches()), trainer.state.progress, Averages()
    progress.step = 1_000_000  # all losses are active
    seconds = []
    for _ in with_bar(range(1 + TIMED_ROUNDS * TIMED_STEPS), "step"):
        started = time.perf_counter()
        trainer.step(batch, averages)
        seconds.append(time.perf_counter() - started)
    rounds = np.reshape(seconds[1:], (TIMED_ROUNDS, TIMED_STEPS))  # the first step is slower
    return float(rounds.mean(axis=1).min())
