"""The fused gated stack against the same function in plain operations (channels-last convolutions), by shape.

python -m benchmarks.stack_speed
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from vocoder.layers.stack import WaveNetConfig, WaveNetStack
from vocoder.machine.timing import BUSY, QUIET, Clock, alternate, machine, markdown_table

SHAPES = {
    "shipped, 1 s": (WaveNetConfig(208, (1, 2, 1)), 128, 256, 128, 86),
    "shipped, 10 s": (WaveNetConfig(208, (1, 2, 1)), 128, 256, 128, 861),
    "published, 0.5 s": (WaveNetConfig(), 4, 8, 640, 1376),
    "autoregressive, 0.25 s": (WaveNetConfig(64, (1, 2, 4, 8, 16, 32), 2, True), 3, 2, 64, 5632),
}
"""stack, channels in, out and of the condition, steps"""
DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def main() -> int:
    """Print the machine and a table: speaking and learning, plain time over fused time."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stack_speed", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--busy", action="store_true", help="one thread and its processor time, not the wall's clock")
    args = parser.parse_args()
    clock = BUSY if args.busy else QUIET
    if args.busy:
        torch.set_num_threads(1)
    print(machine(clock=clock), flush=True)
    rows = []
    for name, shape in SHAPES.items():
        for kind, dtype in DTYPES.items():
            speaking, learning = (ratio(shape, dtype, learn, args.repetitions, clock) for learn in (False, True))
            rows.append([f"{name}, {kind}", speaking, learning])
    print(f"\n{markdown_table(['plain over fused time', 'speaking', 'learning'], rows)}")
    return 0


def ratio(
    shape: tuple[WaveNetConfig, int, int, int, int], dtype: torch.dtype, learn: bool, repetitions: int, clock: Clock
) -> str:
    """Return how many times longer plain operations take."""
    torch.manual_seed(0)
    config, inside, outside, cond_channels, steps = shape
    stack = WaveNetStack(inside, outside, cond_channels, config).requires_grad_(learn).train(learn)
    stack.compute_dtype = dtype
    x, cond = torch.randn(1, inside, steps), torch.randn(1, cond_channels, steps)
    tasks: dict[str, Callable[[], None]] = {
        name: partial(_run, stack, x, cond, fused) for name, fused in (("plain", False), ("fused", True))
    }
    medians = alternate(tasks, repetitions, warm_ups=2, clock=clock)
    return f"{medians['plain'] / medians['fused']:.2f}"


def _run(stack: WaveNetStack, x: Tensor, cond: Tensor, fused: bool) -> None:
    stack.fused = fused
    y = stack(x, cond)
    if y.requires_grad:
        y.float().square().mean().backward()
        stack.zero_grad()


if __name__ == "__main__":
    raise SystemExit(main())
