"""What a flow in the posterior is worth: the bound of a variational autoencoder of mel patches, over several seeds.

The same encoder, decoder, batches and steps; once the posterior is a diagonal Gaussian, once an inverse autoregressive
flow continues from it. "Gap" is how far the bound lies below 64 importance samples: how wrong the posterior is.

    python -m benchmarks.density_vae --manifest runs/speech/manifest.jsonl
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import replace
from typing import Literal

import torch

from benchmarks.density_fitting import Data, Fit, fit, load, pool, score
from training.density.vae import VAEConfig, VariationalAutoencoder
from vocoder.machine.timing import markdown_table

__all__ = ["measure"]

IMPORTANCE_SAMPLES = 64
KINDS: tuple[Literal["vae", "iaf_vae"], ...] = ("vae", "iaf_vae")


def measure(config: VAEConfig, data: Data, settings: Fit) -> tuple[float, float]:
    """Return the held-out bound in nats per dimension (higher is better), and by how much importance samples raise it.

    The second, over a part of the items, is in nats of a whole item.
    """
    torch.manual_seed(settings.seed)
    model = VariationalAutoencoder(config)
    start = pool(data.train, 1)[:8192]
    model.fit_whitening(lambda: start.split(256))
    fit(model, model.elbo, data, settings, set(model.whitening.parameters()))
    torch.manual_seed(0)
    bound = -score(model, model.elbo, data.test.repeat(4, 1, 1))
    part = data.test[:512]
    loose = -score(model, model.elbo, part.repeat(16, 1, 1))
    tight = -score(model, lambda x: model.log_prob(x, IMPORTANCE_SAMPLES), part)
    return bound, (tight - loose) * config.dimensions


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description="IAF against mean field as the posterior of an autoencoder.")
    parser.add_argument("--manifest", default="runs/speech/manifest.jsonl", help="of a prepared corpus")
    parser.add_argument("--hours", type=float, default=0.5, help="of audio")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=16, help="of a patch")
    parser.add_argument("--latent", type=int, default=32)
    parser.add_argument("--hidden", type=int, default=256, help="units of both hidden layers of encoder and decoder")
    args = parser.parse_args()
    data = load("patches", args.manifest, args.hours, args.frames)
    base = VAEConfig(frames=args.frames, latent=args.latent, hidden=(args.hidden, args.hidden))
    print(f"80 x {args.frames} patches, {args.steps} steps of {args.batch}, latent {args.latent}\n")
    print(markdown_table(["posterior", "bound, nats/dim", "by seed", "gap, nats"], []), flush=True)
    bounds: dict[str, list[float]] = {}
    for kind in KINDS:
        settings = [Fit(args.steps, args.batch, weight_decay=0.01, seed=seed) for seed in range(args.seeds)]
        found = [measure(replace(base, kind=kind), data, fit_settings) for fit_settings in settings]
        bounds[kind] = [bound for bound, _ in found]
        gap = statistics.mean(gap for _, gap in found)
        each = ", ".join(f"{bound:.4f}" for bound in bounds[kind])
        print(f"| {kind} | {statistics.mean(bounds[kind]):.4f} | {each} | {gap:.2f} |", flush=True)
    wins = sum(a > b for a, b in zip(bounds["iaf_vae"], bounds["vae"], strict=True))
    print(f"\nThe flow has the higher bound with {wins} of {args.seeds} seeds.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
