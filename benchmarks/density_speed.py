"""The asymmetry of autoregressive flows: seconds to score and to sample as the dimension grows.

MAF scores in one pass and samples in D steps; IAF samples in one pass and scores in D steps; a coupling takes one pass.
Beside them zuko's MAF, whose sampling repeats a whole pass D times; ours computes each hidden unit once.

    python -m benchmarks.density_speed [--plot docs/pictures/flows/asymmetry.png]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import zuko
from matplotlib.figure import Figure
from torch import nn

from training.density.flows import DensityConfig
from training.density.model import DensityModel
from vocoder.machine.timing import alternate, machine, markdown_table

__all__ = ["measure", "plot"]

KINDS = {"MAF": "maf", "IAF": "iaf", "coupling": "realnvp"}
ZUKO = "zuko's MAF"
VERBS = ("scores", "samples")


def measure(size: int, batch: int, hidden: int, repetitions: int, patience: int) -> dict[tuple[str, str], float]:
    """Return the seconds of a batch by model and verb; zuko samples only up to `patience` dimensions."""
    tasks: dict[tuple[str, str], Callable[[], object]] = {}
    x = torch.randn(batch, size, 1)
    for name, kind in KINDS.items():
        config = DensityConfig(kind=kind, channels=size, flows=3, hidden=(hidden, hidden), whitening="none")  # type: ignore[arg-type]
        model = DensityModel(config).eval()
        tasks |= {(name, "scores"): lambda m=model: m.log_prob(x), (name, "samples"): lambda m=model: m.inverse(x)}
    flow = zuko.flows.MAF(size, transforms=3, hidden_features=(hidden, hidden), activation=nn.ELU)
    tasks[ZUKO, "scores"] = lambda: flow().log_prob(x[:, :, 0])
    if size <= patience:
        tasks[ZUKO, "samples"] = lambda: flow().transform.inv(x[:, :, 0])
    names = {" ".join(key): key for key in tasks}
    with torch.no_grad():
        found = alternate({name: tasks[key] for name, key in names.items()}, repetitions)
    return {names[name]: seconds for name, seconds in found.items()}


def plot(found: Mapping[int, Mapping[tuple[str, str], float]], file: Path) -> None:
    """Draw times over the dimension, both logarithmic: score on the left, sample on the right."""
    figure = Figure(figsize=(8, 3.4), dpi=90, layout="constrained")
    for axes, verb in zip(figure.subplots(1, 2, sharey=True), VERBS, strict=True):
        for name in (*KINDS, ZUKO):
            sizes = [size for size, times in found.items() if (name, verb) in times]
            axes.loglog(sizes, [1000 * found[size][name, verb] for size in sizes], marker="o", ms=3, label=name)
        axes.set_title(f"{verb[:-1]} a batch")
        axes.set_xlabel("dimensions")
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("ms")
    figure.axes[0].legend(frameon=False, fontsize=8)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)


def main() -> int:
    """Print the table and draw the plot."""
    parser = argparse.ArgumentParser(description="Time to score and to sample of MAF, IAF and couplings.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[16, 32, 64, 128, 256, 512, 1024])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--hidden", type=int, default=512, help="units of both hidden layers")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--patience", type=int, default=1024, help="dimensions up to which zuko samples")
    parser.add_argument("--plot", type=Path, help="file for the picture")
    args = parser.parse_args()
    found = {n: measure(n, args.batch, args.hidden, args.repetitions, args.patience) for n in sorted(args.sizes)}
    rows = []
    for name in (*KINDS, ZUKO):
        for verb in VERBS:
            times = [found[size].get((name, verb)) for size in found]
            rows.append([f"{name} {verb}", *("-" if t is None else f"{1000 * t:.2f}" for t in times)])
    print(f"ms for {args.batch} vectors, 3 flows, hidden layers of 2 x {args.hidden}; {machine()}\n")
    print(markdown_table(["dimensions", *map(str, found)], rows))
    if args.plot is not None:
        plot(found, args.plot)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
