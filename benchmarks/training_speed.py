"""How many seconds of audio one second of training takes in.

The published configuration by likelihood, ours against the straightforward one; and the configuration of the model
that ships, with each of its groups of losses.

    python -m benchmarks.training_speed [published] [shipped]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.published_waveglow import PublishedWaveGlow
from training.commands.waveglow import WaveGlowRun
from training.loop.optimisation import build_optimiser
from training.loop.update import only_trainable
from training.objectives.waveglow import WaveGlowObjective
from training.run_config import load_config
from vocoder.layers.stack import set_compute_dtype
from vocoder.machine.timing import BUSY, QUIET, Clock, alternate, machine, markdown_table
from vocoder.mel.config import preset
from vocoder.models.waveglow import WaveGlow
from vocoder.models.waveglow_config import published

CONFIG = Path(__file__).resolve().parent.parent / "configs" / "waveglow.yaml"
Table = tuple[list[str], list[list[str]]]


def main() -> int:
    """Print the machine and a table for each part asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_speed", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help="published, shipped (default: both)")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--batch", type=int, default=2, help="segments of the published configuration's batch")
    parser.add_argument("--frames", type=int, default=63, help="mel frames of each, 256 samples long")
    parser.add_argument("--busy", action="store_true", help="one thread and its processor time, not the wall's clock")
    args = parser.parse_args()
    clock = BUSY if args.busy else QUIET
    if args.busy:
        torch.set_num_threads(1)
    parts: dict[str, Callable[[], Table]] = {
        "published": lambda: published_speed(args.batch, args.frames, args.repetitions, clock),
        "shipped": lambda: shipped_speed(args.repetitions, clock),
    }
    unknown = set(args.parts) - set(parts)
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    print(machine(clock=clock))
    for part in args.parts or parts:
        torch.manual_seed(0)
        print(f"\n{part}\n\n{markdown_table(*parts[part]())}", flush=True)
    return 0


def published_speed(batch: int, frames: int, repetitions: int, clock: Clock = QUIET) -> Table:
    """Return the table of the published configuration: ours, with bfloat16 stacks, and the straightforward one."""
    config = published()
    ours, yardstick = WaveGlow(config), PublishedWaveGlow(config)
    set_compute_dtype(ours, torch.bfloat16)
    x, mel = 0.1 * torch.randn(batch, frames * config.hop_length), torch.randn(batch, config.n_mels, frames) - 5.0
    tasks = {"ours": likelihood_step(ours, x, mel), "straightforward": likelihood_step(yardstick, x, mel)}
    medians = alternate(tasks, repetitions, clock=clock)
    seconds = x.numel() / config.sample_rate
    rows = [
        [name, f"{median:.2f} s", f"{seconds / median:.2f}", f"{medians['straightforward'] / median:.2f}"]
        for name, median in medians.items()
    ]
    header = [f"likelihood, {batch} x {x.shape[1]} samples", "step", "audio seconds per second", "ratio"]
    return header, rows


def likelihood_step(model: nn.Module, x: Tensor, mel: Tensor) -> Callable[[], None]:
    """Return one step of training: forward, negative log-likelihood, backward, AdamW."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        z, log_det = model(x, mel)
        loss = (0.5 * z.square().sum(dim=(1, 2)) - log_det).mean() / x.shape[1]
        torch.autograd.backward(loss)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return step


def shipped_speed(repetitions: int, clock: Clock = QUIET) -> Table:
    """Return the table of the configuration that ships: likelihood, with losses on samples, with critics."""
    run = load_config(WaveGlowRun, CONFIG, ["manifest=none", "output=none"])
    losses = run.losses
    starts = {
        "likelihood": 0,
        "likelihood and losses on samples": losses.samples_from,
        "likelihood, losses on samples, critics": losses.critics_from,
    }
    cycle = losses.likelihood_every
    tasks = {name: objective_steps(run, start, cycle) for name, start in starts.items()}
    medians = alternate(tasks, repetitions, clock=clock)
    batch, length = run.trainer.batch_size, run.segments.segment_length
    seconds = cycle * batch * length / run.model.sample_rate
    rows = [[name, f"{median / cycle:.2f} s", f"{seconds / median:.2f}"] for name, median in medians.items()]
    return [f"{CONFIG.name}, {batch} x {length} samples", "step", "audio seconds per second"], rows


def objective_steps(run: WaveGlowRun, start: int, count: int) -> Callable[[], None]:
    """Return `count` steps of training from step `start` on, all phases, without reading data."""
    objective = WaveGlowObjective(WaveGlow(run.model), preset(run.mel), run.losses)
    phases = [(phase, build_optimiser(phase, run.trainer)) for phase in objective.phases()]
    length = run.segments.segment_length + 2 * run.segments.margin
    batch = {"x": 0.1 * torch.randn(run.trainer.batch_size, length)}

    def steps() -> None:
        """Take the steps, updating each phase as the trainer does."""
        for step in range(start, start + count):
            for phase, optimiser in phases:
                with only_trainable(objective, phase.parameters):
                    outcome = objective.loss(phase.name, batch, step)
                    if outcome is None:
                        continue
                    torch.autograd.backward(outcome[0])
                nn.utils.clip_grad_norm_(phase.parameters, run.trainer.clip_norm)
                optimiser.step()

    return steps


if __name__ == "__main__":
    raise SystemExit(main())
