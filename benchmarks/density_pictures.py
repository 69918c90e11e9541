"""Plots of samples of density models, and of toy data in the plane: data, density and samples side by side.

    python -m benchmarks.density_pictures --plot docs/pictures/flows/toys.png

trains a coupling flow and a masked autoregressive flow on every toy, and prints by how many nats each misses the
entropy of the data, which is known.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.distributions import Distribution

from benchmarks.density_fitting import Data, Fit, fit, ours, pool, score
from training.density.flows import DensityConfig
from training.density.items import TOYS, points
from training.density.model import DensityModel
from vocoder.timing import markdown_table

EXTENT = 4.0
MODELS = {
    "Gaussian": DensityConfig(kind="gaussian", channels=2),
    "RealNVP": DensityConfig(kind="realnvp", channels=2, flows=8, hidden=(64, 64)),
    "MAF": DensityConfig(kind="maf", channels=2, flows=8, hidden=(64, 64)),
}


def draw_samples(samples: Mapping[str, Tensor], limits: tuple[float, float], file: Path) -> None:
    """Draw items (n, rows, columns) of each model as a row of images on one scale, low frequencies at the bottom."""
    count = min(len(items) for items in samples.values())
    rows, columns = next(iter(samples.values())).shape[1:]
    origin = "upper" if rows == columns else "lower"  # digits are upright; mels have the lowest band at the bottom
    width, height = 0.62 * count + 1.6, 0.62 * len(samples) * max(1.0, min(rows / columns, 2.0)) + 0.1
    figure = Figure(figsize=(width, height), dpi=90)
    scale = {"vmin": limits[0], "vmax": limits[1], "cmap": "gray_r" if origin == "upper" else "magma"}
    grid = figure.subplots(len(samples), count, squeeze=False)
    for line, (name, items) in zip(grid, samples.items(), strict=True):
        for axes, item in zip(line, items, strict=False):
            axes.imshow(item, **scale, origin=origin, aspect="auto", interpolation="nearest")
            axes.set_axis_off()
        line[0].text(-0.15, 0.5, name, transform=line[0].transAxes, ha="right", va="center", fontsize=7)
    figure.subplots_adjust(left=1.5 / width, right=0.99, top=0.98, bottom=0.02, wspace=0.08, hspace=0.1)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)


def fitted(toy: Distribution, config: DensityConfig, settings: Fit) -> tuple[DensityModel, float]:
    """Return a model of a toy distribution, and its held-out nats above the toy's entropy."""
    data = Data("toy", points(toy, 8192, 0), pool(points(toy, 2000, 1), 1), pool(points(toy, 20_000, 2), 1))
    contestant = ours(config, pool(data.train, 1), settings.seed)
    if contestant.trained:
        fit(contestant, data, settings)
    truth = -float(toy.log_prob(data.test[:, :, 0].double()).mean())
    return contestant.module, 2 * score(contestant, data.test) - truth  # type: ignore[return-value]


@torch.no_grad()
def density_on_grid(model: DensityModel, size: int = 160) -> np.ndarray:
    """Return the density (size, size) over the plotted square."""
    axis = torch.linspace(-EXTENT, EXTENT, size)
    points = torch.cartesian_prod(axis, axis)[:, :, None]
    return model.log_prob(points).exp().reshape(size, size).T.numpy()


def draw_toys(found: Mapping[str, Mapping[str, DensityModel]], file: Path) -> None:
    """Draw a row per toy: its points, the density of each model, and samples of the last model."""
    names = list(MODELS)
    figure = Figure(figsize=(1.45 * (len(names) + 2), 1.5 * len(found)), dpi=80, layout="constrained")
    grid = figure.subplots(len(found), len(names) + 2, squeeze=False)
    for line, (name, models) in zip(grid, found.items(), strict=True):
        line[0].plot(*points(TOYS[name], 2000, 0).drawn(0)[:, :, 0].T.numpy(), ",", color="black")
        for axes, model in zip(line[1:-1], models.values(), strict=True):
            axes.imshow(density_on_grid(model), origin="lower", extent=(-EXTENT, EXTENT) * 2, cmap="magma")
        drawn = models[names[-1]].sample(2000, generator=torch.Generator().manual_seed(0))
        line[-1].plot(*drawn[:, :, 0].T.numpy(), ",", color="black")
        line[0].set_ylabel(name, fontsize=8)
        for axes in line:
            axes.set(xlim=(-EXTENT, EXTENT), ylim=(-EXTENT, EXTENT), xticks=[], yticks=[], aspect="equal")
    for axes, title in zip(grid[0], ["data", *names, f"samples of {names[-1]}"], strict=True):
        axes.set_title(title, fontsize=8)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)


def main() -> int:
    """Print the table and draw the plot."""
    parser = argparse.ArgumentParser(description="Densities of points in the plane with known entropy.")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--toys", nargs="+", choices=list(TOYS), default=list(TOYS))
    parser.add_argument("--plot", type=Path, help="file for the plot")
    args = parser.parse_args()
    settings = Fit(args.steps, args.batch, learning_rate=2e-3, weight_decay=0.0)
    found: dict[str, dict[str, DensityModel]] = {}
    print(markdown_table(["nats above the entropy", *MODELS], []), flush=True)
    for name in args.toys:
        fits = {kind: fitted(TOYS[name], config, settings) for kind, config in MODELS.items()}
        found[name] = {kind: model for kind, (model, _) in fits.items()}
        print(f"| {name} | {' | '.join(f'{gap:.3f}' for _, gap in fits.values())} |", flush=True)
    if args.plot is not None:
        draw_toys(found, args.plot)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
