"""`python -m recipes ablate`: what each loss of a distillation is worth, for the same short budget."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from training.evaluate.comparison import Comparison, compare
from training.evaluate.recordings import Selection
from training.launch import complete_contract, held_out, train
from training.objectives.distillation_losses import DistillationLosses
from training.objectives.reverse_losses import ReverseLosses
from training.run_config import load_config
from training.runs.reverse import ReverseRun
from training.runs.student import DistillRun
from vocoder.checkpoint import load_model
from vocoder.config import ConfigError
from vocoder.layers.stack import default_dtype
from vocoder.synthesis.synthesizer import Synthesizer
from vocoder.timing import markdown_table

__all__ = ["add_arguments", "complete", "run", "variants"]


@dataclass(frozen=True)
class Ablation:
    """How the losses of one kind of run are told apart.

    Attributes:
        run: kind of configuration.
        losses: its losses.
        first: name of the first group, which every variant has.
        groups: losses of each group, in the order in which they join.
        columns: means over the held-out split that the table shows.
    """

    run: type[Any]
    losses: type[Any]
    first: str
    groups: Mapping[str, tuple[str, ...]]
    columns: tuple[str, ...]


DIVERGENCE = Ablation(
    DistillRun,
    DistillationLosses,
    "kl",
    {
        "kl": ("kl",),
        "power": ("power", "spectral", "mel"),
        "perceptual": ("perceptual", "style"),
        "contrastive": ("contrastive",),
    },
    ("kl", "entropy", "cross_entropy", "sigma_tot", "spectral", "mel"),
)
"""the losses that join the divergence, in the order of Parallel WaveNet's table"""
REVERSE = Ablation(
    ReverseRun,
    ReverseLosses,
    "recorded",
    {
        "recorded": ("recorded",),
        "drawn": ("drawn",),
        "samples": ("spectral", "mel", "uncorrected"),
        "critics": ("adversarial", "features"),
    },
    ("recorded", "uncorrected", "spectral", "mel"),
)
"""the losses that join those on recordings with the teacher's noise"""
ABLATIONS = {"samples": DIVERGENCE, "frames": DIVERGENCE, "reverse": REVERSE}
"""by kind of student"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="YAML of a distillation, all losses on"
    )
    parser.add_argument(
        "--student", choices=tuple(ABLATIONS), default="frames", help="kind of student (default: %(default)s)"
    )
    parser.add_argument("--teacher", metavar="DIR", help="model directory or shipped name (the configuration's)")
    parser.add_argument(
        "--limit", type=int, default=4, help="number of utterances of each voice that are scored (%(default)s)"
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="replace a setting, as in distill")


def run(args: argparse.Namespace) -> int:
    """Train one student for each variant, print their divergences and their scores; finished ones are not repeated."""
    overrides = [*args.overrides, *([f"teacher={args.teacher}"] if args.teacher else [])]
    kind = ABLATIONS[args.student]
    config = load_config(kind.run, args.config, overrides, lambda settings: complete(settings, kind))
    root = Path(config.output)
    directories, measured = {}, {}
    for name, losses in variants(config.losses, kind).items():
        folder = root / name
        variant = replace(config, output=str(folder), losses=losses)
        directories[name] = train(variant, resume=(folder / "last").exists())
        measured[name] = held_out(variant, directories[name])
    (root / "held_out.json").write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    rows = [[name, *(f"{means[column]:.4f}" for column in kind.columns)] for name, means in measured.items()]
    print(markdown_table(["losses", *kind.columns], rows))
    dtype = default_dtype("cpu")
    students = {name: Synthesizer(load_model(path), name, "cpu", dtype, "off") for name, path in directories.items()}
    compare(students, Path(config.manifest), root / "evaluation", Comparison(Selection(limit=args.limit)))
    return 0


def complete(settings: dict[str, Any], kind: Ablation = DIVERGENCE) -> None:
    """Complete the settings of an ablation.

    Raises:
        ConfigError: something is missing; the text names all of it.
    """
    complete_contract(settings)
    losses, trainer = ({} if settings.get(name) is None else settings[name] for name in ("losses", "trainer"))
    measured = [name for group in kind.groups.values() for name in group]
    needs = [f"losses.{name}" for name in measured if not losses.get(name, getattr(kind.losses, name))]
    needs = [f"weights above 0 for {', '.join(needs)}"] if needs else []
    if kind is DIVERGENCE and settings.get("recogniser") is None:
        needs.append("recogniser=DIR (python -m recipes recogniser)")
    if trainer.get("batch_size", 2) < 2:
        needs.append("a trainer.batch_size of at least 2")
    if needs:
        raise ConfigError(f"an ablation needs {' and '.join(needs)}")


def variants(losses: Any, kind: Ablation = DIVERGENCE) -> dict[str, Any]:
    """Return the first group of losses alone, and with one more group at a time, by name."""
    every = {name for group in kind.groups.values() for name in group}
    if hasattr(losses, "adversarial"):
        every |= {"adversarial"}  # critics count where they are a group
    found: dict[str, Any] = {}
    kept: set[str] = set()
    title = ""
    for added, group in kind.groups.items():
        kept |= set(group)
        title = f"{title}+{added}" if title else added
        found[title] = replace(losses, **dict.fromkeys(every - kept, 0.0))
    return found
