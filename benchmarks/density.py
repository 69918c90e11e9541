"""Compares the density models with zuko's models of the same size by held-out nats per dimension.

The first flow of every model is the Gaussian of greatest likelihood, fitted in closed form, for zuko's as for ours; all
are then trained by the same loop on the same batches and scored where they were best on validation items.

    python -m benchmarks.density digits
    python -m benchmarks.density frames --manifest runs/speech/manifest.jsonl
    python -m benchmarks.density patches --manifest runs/speech/manifest.jsonl
"""

import argparse
import math
import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
import zuko
from torch import Tensor

from benchmarks.density_fitting import Contestant, Data, Fit, fit, load, ours, pool, score
from benchmarks.density_pictures import draw_samples
from training.density.flows import CLOSED_FORM, DensityConfig
from training.density.items import LEVELS
from training.density.model import DensityModel
from vocoder.mel.config import preset
from vocoder.timing import markdown_table

STARTS = 4096
"""training items for closed-form whitening if training draws new ones in every epoch"""

CDF_RATE = 2e-2
"""learning rate of mixtures without a network, which start far from their optimum"""


def theirs(config: DensityConfig, x: Tensor, seed: int) -> Contestant | None:
    """Return zuko's model of the same kind and size with the same whitening, or None if zuko has none."""
    torch.manual_seed(seed)
    size, kind = config.dimensions, config.kind
    if kind not in ("nice", "realnvp", "maf") or config.image or config.generations is not None:
        return None
    additive = {"univariate": zuko.transforms.AdditiveTransform, "shapes": ((),)} if kind == "nice" else {}
    build = zuko.flows.MAF if kind == "maf" else zuko.flows.NICE
    flow = build(size, transforms=config.flows, hidden_features=config.hidden, **additive)
    white = ours(replace(config, kind="gaussian"), x, seed).module

    def log_prob(items: Tensor) -> Tensor:
        with torch.no_grad():
            z, log_det = white(items)
        return flow().log_prob(z.flatten(1)) + log_det

    return Contestant(flow, log_prob, list(flow.parameters()))


def configurations(data: Data) -> dict[str, DensityConfig]:
    """Return the models to compare on a data set."""
    rows, columns = data.test.shape[1:]
    alpha = 0.01 if data.name == "digits" else None
    hidden = (128, 128) if data.name == "digits" else (512, 512)
    base = DensityConfig(channels=rows, frames=columns, hidden=hidden, logit_alpha=alpha)
    found = {
        "elementwise": replace(base, kind="elementwise"),
        "gaussian": replace(base, kind="gaussian"),
        "nice": replace(base, kind="nice", flows=4, mixing="swap"),
        "realnvp": replace(base, kind="realnvp", flows=4, mixing="swap"),
        "glow": replace(base, kind="glow", flows=4),
        "maf": replace(base, kind="maf", flows=3),
    }
    if data.name == "digits":
        layers = {f"maf, {n} generations": replace(found["maf"], generations=n) for n in (2, 4, 16)}
        found |= {"nice, by halves": replace(found["nice"], mixing="reversal"), **layers}
        found["cdf"] = replace(base, kind="cdf", whitening="elementwise")
    if columns % 4 == 0:
        image = replace(base, kind="glow", image=True, hidden=(32, 32), flows=4, whitening="elementwise")
        found |= {
            "realnvp, checkerboard and channel masks": replace(image, kind="realnvp", flows=3),
            "glow, two scales": image,
        }
        if data.name == "digits":
            found |= {f"{name}, whitened": replace(found[name], whitening="dense") for name in list(found)[-2:]}
    return found


def measure(
    name: str, config: DensityConfig, data: Data, settings: Fit, seeds: int, samples: dict[str, Tensor] | None = None
) -> list[list[str]]:
    """Return the rows of one model, ours and any of zuko's; add samples of our first one to `samples`."""
    start = _starts(config, data)
    results: dict[str, list[float]] = {}
    parameters: dict[str, int] = {}
    for seed in range(1 if config.kind in CLOSED_FORM else seeds):
        for library, build in LIBRARIES.items():
            contestant = build(config, start, seed)
            if contestant is None:
                continue
            if config.kind not in CLOSED_FORM:
                rate = CDF_RATE if config.kind == "cdf" else settings.learning_rate
                found = replace(settings, seed=seed, learning_rate=rate)
                fit(contestant, data, found)
            if seed == 0 and library == "ours" and samples is not None:
                assert isinstance(contestant.module, DensityModel)
                samples[name] = contestant.module.eval().sample(12, generator=torch.Generator().manual_seed(0))
            results.setdefault(library, []).append(score(contestant, data.test))
            parameters[library] = contestant.parameters
    return [_row(name, library, nats, parameters[library], data) for library, nats in results.items()]


LIBRARIES: dict[str, Callable[[DensityConfig, Tensor, int], Contestant | None]] = {"ours": ours, "zuko": theirs}


def _starts(config: DensityConfig, data: Data) -> Tensor:
    """Return the training items for closed-form whitening and actnorms."""
    if data.name == "digits":
        return pool(data.train, 8)
    return pool(data.train, 1)[: max(STARTS, 16 * config.dimensions)]


def _row(name: str, library: str, nats: list[float], parameters: int, data: Data) -> list[str]:
    row = [f"{name} ({library})", str(parameters), _with_spread(nats)]
    if data.name == "digits":
        row.append(_with_spread([(value + math.log(LEVELS)) / math.log(2) for value in nats]))
    return row


def _with_spread(values: list[float]) -> str:
    spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4f}{spread}"


def main() -> int:
    """Print the table, row by row."""
    args = arguments()
    frames = args.patch if args.data == "patches" else args.context
    data = load(args.data, args.manifest, frames)
    chosen = {k: v for k, v in configurations(data).items() if not args.models or k in args.models}
    size = " x ".join(map(str, data.test.shape[1:]))
    print(f"{args.data}, {size}, {args.steps} steps of {args.batch}, seeds 0 to {args.seeds - 1}\n")
    header = ["model", "parameters", "nats/dim", *(["bits/dim"] if args.data == "digits" else [])]
    print(markdown_table(header, []), flush=True)
    samples: dict[str, Tensor] = {}
    for name, config in chosen.items():
        for row in measure(name, config, data, Fit(args.steps, args.batch), args.seeds, samples):
            print(f"| {' | '.join(row)} |", flush=True)
    if args.plot is not None:
        limits = (0.0, 1.0) if args.data == "digits" else (math.log(preset("nvidia").floor), 1.0)
        draw_samples({"data": data.test[:84:7], **samples}, limits, args.plot)
    return 0


def arguments() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description="Held-out nats per dimension of our density models and zuko's.")
    parser.add_argument("data", choices=["digits", "frames", "patches"])
    parser.add_argument("--manifest", default="runs/speech/manifest.jsonl", help="prepared corpus, for mels")
    parser.add_argument("--models", nargs="+", help="only these models, by their names in the table")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--context", type=int, default=3, help="mel frames per window")
    parser.add_argument("--patch", type=int, default=16, help="mel frames per patch")
    parser.add_argument("--plot", type=Path, help="file for a plot of samples")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
