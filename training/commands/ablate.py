"""`vocoder-train ablate`: what each loss of the distillation is worth, for the same short budget."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from training.commands import evaluate
from training.commands.distill import DistillRun, distill, held_out
from training.launch import complete_contract
from training.objectives.distillation_losses import DistillationLosses
from training.run_config import load_config
from vocoder.checkpoint import load_model
from vocoder.config import ConfigError
from vocoder.layers.stack import default_dtype
from vocoder.machine.timing import markdown_table
from vocoder.synthesizer import Synthesizer

__all__ = ["add_arguments", "complete", "run", "variants"]

GROUPS = {
    "power": ("power", "spectral", "mel"),
    "perceptual": ("perceptual", "style"),
    "contrastive": ("contrastive",),
}
"""The losses that join the divergence, in the order of the paper's table."""
COLUMNS = ("kl", "entropy", "cross_entropy", "sigma_tot", "spectral", "mel")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="YAML of a distillation, all losses on"
    )
    parser.add_argument("--teacher", metavar="DIR", help="model directory or shipped name (the configuration's)")
    parser.add_argument("--limit", type=int, default=4, help="utterances of each voice that are scored (%(default)s)")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="replace a setting, as in distill")


def run(args: argparse.Namespace) -> int:
    """Train one student for each variant, print their divergences and their scores; finished ones are not repeated."""
    overrides = [*args.overrides, *([f"teacher={args.teacher}"] if args.teacher else [])]
    config = load_config(DistillRun, args.config, overrides, complete)
    root = Path(config.output)
    directories, measured = {}, {}
    for name, losses in variants(config.losses).items():
        folder = root / name
        variant = replace(config, output=str(folder), losses=losses)
        directories[name] = distill(variant, resume=(folder / "last").exists())
        measured[name] = held_out(variant, directories[name])
    (root / "divergences.json").write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    rows = [[name, *(f"{means[column]:.4f}" for column in COLUMNS)] for name, means in measured.items()]
    print(markdown_table(["losses", *COLUMNS], rows))
    return evaluate.evaluate_all(_evaluation(config, args.limit, list(directories)), _loader(directories))


def complete(settings: dict[str, Any]) -> None:
    """Complete the settings of an ablation.

    Raises:
        ConfigError: something is missing; the text names all of it.
    """
    complete_contract(settings)
    losses, trainer = ({} if settings.get(name) is None else settings[name] for name in ("losses", "trainer"))
    measured = ["kl", *(name for group in GROUPS.values() for name in group)]
    needs = [f"losses.{name}" for name in measured if not losses.get(name, getattr(DistillationLosses, name))]
    needs = [f"weights above 0 for {', '.join(needs)}"] if needs else []
    if settings.get("recogniser") is None:
        needs.append("recogniser=DIR (vocoder-train recogniser)")
    if trainer.get("batch_size", 2) < 2:
        needs.append("a trainer.batch_size of at least 2")
    if needs:
        raise ConfigError(f"an ablation needs {' and '.join(needs)}")


def variants(losses: DistillationLosses) -> dict[str, DistillationLosses]:
    """Return the divergence alone, and with one more group of losses each, by name."""
    every = [name for group in GROUPS.values() for name in group]
    found: dict[str, DistillationLosses] = {}
    kept: tuple[str, ...] = ()
    title = "kl"
    for added, group in {"": (), **GROUPS}.items():
        kept += group
        title += f"+{added}" if added else ""
        silent: dict[str, float] = {name: 0.0 for name in every if name not in kept}
        found[title] = replace(losses, adversarial=0.0, **silent)  # type: ignore[arg-type]
    return found


def _evaluation(config: DistillRun, limit: int, names: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    output = Path(config.output) / "evaluation"
    return parser.parse_args([*names, "--manifest", config.manifest, "-o", str(output), "--limit", str(limit)])


def _loader(directories: dict[str, Path]) -> evaluate.Loader:
    def load(name: str) -> Synthesizer:
        return Synthesizer(load_model(directories[name]), name, "cpu", default_dtype("cpu"), "off")

    return load
