"""What each step of the recipe in configs/waveglow.yaml is worth: short runs from one start, each without one of them.

python -m benchmarks.sound_recipe --manifest runs/speech/manifest.jsonl --start DIR -o runs/recipe [--steps N]

Every run has the same seed, steps and start, and no critics, which take longer to say anything. Prints a Markdown table
of held-out recordings: of voices that the start has heard, and of voices from elsewhere.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from benchmarks.corrections import grouped
from training.commands.waveglow import WaveGlowRun, objective_of
from training.corpora.manifest import Entry, read_manifest, write_manifest
from training.evaluate.candidates import of_vocoder
from training.evaluate.evaluation import evaluate
from training.evaluate.metric import split_by_package
from training.evaluate.metrics import METRICS
from training.evaluate.recordings import Recording
from training.evaluate.scoring import ScoreStore
from training.evaluate.summary import markdown_table, summarise
from training.launch import fit, load_run, origin_of, read_corpus
from training.loop import random_state
from vocoder.loading import load
from vocoder.machine.timing import machine

CONFIG = Path("configs/waveglow.yaml")
QUALITY = ("pesq", "stoi", "distillmos", "band_db")
SYNTHESISED_OR_NEW = ("kokoro", "gcin")


@dataclass(frozen=True)
class Variant:
    """The recipe, less one thing.

    Attributes:
        name: what is left out.
        overrides: settings of the run.
        entries: what is made of each entry of the manifest; None leaves it out.
    """

    name: str
    overrides: tuple[str, ...] = ()
    entries: Callable[[Entry], Entry | None] = lambda entry: entry


VARIANTS = (
    Variant("the recipe"),
    Variant(
        "without kokoro and gcin",
        ("losses.refit_above=null",),  # for nothing is left that reaches the whole band
        lambda e: None if e.corpus in SYNTHESISED_OR_NEW else e,
    ),
    Variant("losses that do not know the band", entries=lambda e: replace(e, bandwidth=None)),
    Variant("without playing speeds", ("segments.rates=[1,1]",)),
    Variant("without microphones, rooms and noise", ("segments.augment={}",)),
    Variant("without varied mels", ("losses.varied_mels=0",)),
    Variant("corrected samples alone", ("losses.uncorrected=0",)),
)


def main() -> int:
    """Train each variant and print the table."""
    args = _parser().parse_args()
    print(machine(), flush=True)
    metrics, _ = split_by_package([metric for metric in METRICS if metric.name in QUALITY])
    start = load(str(args.start), guard="off")
    with torch.no_grad():
        chosen = grouped(read_manifest(args.manifest), of_vocoder(start, "start"), args.limit)
    models = {"the start": args.start}
    models |= {variant.name: trained(variant, args) for variant in VARIANTS}
    rows = []
    for name, directory in models.items():
        voice = load(str(directory), guard="off", dtype=torch.float32)
        for corrections in (0, None):
            label = f"{name}{', not corrected' if corrections == 0 else ''}"
            with torch.no_grad():
                candidate = of_vocoder(voice, label, corrections=corrections)
                rows += evaluate(candidate, _by_kind(chosen), metrics, ScoreStore(Path())).rows
    print(markdown_table(summarise(rows), metrics))
    return 0


def trained(variant: Variant, args: argparse.Namespace) -> Path:
    """Train one variant and return its model directory; one that is there already is not trained again."""
    folder = args.output / variant.name.replace(" ", "-").replace(",", "")
    model: Path = folder / "run" / "last" / "model"
    if model.is_dir():
        return model
    manifest = read_manifest(args.manifest)
    folder.mkdir(parents=True)
    (folder / "audio").symlink_to((manifest.root / "audio").resolve())
    write_manifest(folder / "manifest.jsonl", filter(None, map(variant.entries, manifest.entries)))
    settings = [
        f"manifest={folder / 'manifest.jsonl'}",
        f"output={folder / 'run'}",
        f"start_from={args.start}",
        f"trainer.steps={args.steps}",
        f"trainer.validation_steps={args.steps}",
        "validation_items=8",
        "losses.adversarial=0",
        "losses.refit_above=7500",
    ]
    config = load_run(WaveGlowRun, CONFIG, [*settings, *variant.overrides])
    random_state.seed_all(config.trainer.seed)
    origin = origin_of(start_from=config.start_from)
    return fit(config, read_corpus(config), objective_of(config), resume=False, origin=origin)


def _by_kind(chosen: Sequence[Recording]) -> list[Recording]:
    """Return recordings under two names: voices that the start has heard, and all others."""
    return [replace(one, voice="heard" if one.voice == "seen voices" else "elsewhere") for one in chosen]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sound_recipe", description=__doc__)
    parser.add_argument("--manifest", type=Path, required=True, help="of all corpora of docs/corpora.md")
    parser.add_argument("--start", type=Path, required=True, help="model directory that every run starts from")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--steps", type=int, default=60, help="of each run (default: %(default)s)")
    parser.add_argument("--limit", type=int, default=2, help="recordings of each corpus (default: %(default)s)")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
