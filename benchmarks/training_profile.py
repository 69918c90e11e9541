"""How fast each configuration trains, all of its losses together, and what takes the time.

    python -m benchmarks.training_profile [waveglow] [wavenet] [student-frames] [student]

The batches are of speech and already in memory. Operations are counted by the processor time that they take themselves,
without those that they call; the gated stacks are one operation each way, whose products are counted as products.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.speech import speech
from training.commands import distill, waveglow, wavenet
from training.loop.objective import Batch, Objective
from training.loop.optimisation import build_optimiser
from training.loop.processes import build_accelerator
from training.loop.trainer_config import TrainerConfig
from training.loop.update import update
from training.run_config import load_config
from vocoder.machine.timing import alternate, machine, markdown_table

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
MADE_BY: Mapping[str, tuple[type[Any], Callable[[Any], Objective]]] = {
    "waveglow": (waveglow.WaveGlowRun, waveglow.objective_of),
    "wavenet": (wavenet.WaveNetRun, wavenet.objective_of),
    "student-frames": (distill.DistillRun, distill.objective_of),
    "student": (distill.DistillRun, distill.objective_of),
}
KINDS = {
    "products": ("mm", "addmm", "bmm", "baddbmm", "convolution", "_mkldnn", "mkldnn_convolution", "linear"),
    "gated stacks, but for products": ("FusedStack",),
    "FFT": ("_fft", "stft", "istft"),
    "optimiser": ("_fused_adam", "Optimizer", "_foreach", "adam"),
    "copies": ("copy_", "cat", "index", "gather", "clone", "fill_", "zero_", "pad", "scatter", "unfold", "roll"),
}
REST = "element-wise and the rest"


def main() -> int:
    """Print the machine and a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_profile", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(MADE_BY)} (default: all)")
    parser.add_argument("--repetitions", type=int, default=5)
    args = parser.parse_args()
    if set(args.names) - set(MADE_BY):
        parser.error(f"the configurations are {', '.join(MADE_BY)}")
    print(machine(), flush=True)
    rows = [measured(name, args.repetitions) for name in args.names or MADE_BY]
    header = ["configuration", "batch", "step", "audio seconds per second", *KINDS, REST, "three longest operations"]
    print(f"\n{markdown_table(header, rows)}")
    return 0


def measured(name: str, repetitions: int) -> list[str]:
    """Return the row of a configuration."""
    kind, objective_of = MADE_BY[name]
    run = load_config(kind, CONFIGS / f"{name}.yaml", ["manifest=none", "output=none"])
    torch.manual_seed(run.trainer.seed)
    objective = objective_of(run)
    batch, length = run.trainer.batch_size, run.segments.segment_length
    batches = {"x": torch.stack([_segment(run, length, seed) for seed in range(batch)])}
    cycle = getattr(run.losses, "likelihood_every", 1)
    steps = steps_of(objective, run.trainer, batches, cycle)
    median = alternate({name: steps}, repetitions)[name]
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        steps()
    shares, longest = shares_of(profiled)
    speed = cycle * batch * length / run.model.sample_rate / median
    figures = [f"{shares[kind]:.0%}" for kind in (*KINDS, REST)]
    return [name, f"{batch} x {length}", f"{median / cycle:.2f} s", f"{speed:.1f}", *figures, ", ".join(longest)]


def steps_of(objective: Objective, config: TrainerConfig, batch: Batch, count: int) -> Callable[[], None]:
    """Return the last `count` steps of a run, all phases, as the trainer takes them."""
    accelerator = build_accelerator(config)
    phases = [(phase, build_optimiser(phase, config)) for phase in objective.phases()]
    objective.train()

    def steps() -> None:
        for step in range(config.steps - count, config.steps):
            for phase, optimiser in phases:
                update(objective, phase, optimiser, batch, step, config, accelerator)

    return steps


def shares_of(profiled: profile) -> tuple[dict[str, float], list[str]]:
    """Return the share of each kind of operation in the processor time, and the longest operations with theirs."""
    events = [(event.key, float(event.self_cpu_time_total)) for event in profiled.key_averages()]
    total = sum(seconds for _, seconds in events)
    shares: dict[str, float] = defaultdict(float)
    for key, seconds in events:
        shares[_kind(key)] += seconds / total
    longest = sorted(events, key=lambda event: -event[1])[:3]
    return shares, [f"{key.removeprefix('aten::')} {seconds / total:.0%}" for key, seconds in longest]


def _kind(key: str) -> str:
    name = key.removeprefix("aten::")
    return next((kind for kind, marks in KINDS.items() if any(mark in name for mark in marks)), REST)


def _segment(run: Any, length: int, seed: int) -> torch.Tensor:
    config = run.segments
    x = speech(run.model.sample_rate, length + 2 * config.margin, seed)
    return torch.from_numpy(np.ascontiguousarray(x))


if __name__ == "__main__":
    raise SystemExit(main())
