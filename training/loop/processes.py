"""The processes and devices of a run, through accelerate."""

from __future__ import annotations

import os

import torch
from accelerate import Accelerator

from training.loop.trainer_config import TrainerConfig

__all__ = ["announce", "build_accelerator"]


def build_accelerator(config: TrainerConfig) -> Accelerator:
    """Join the processes that `accelerate launch` or `torchrun` started (one, if none did) on GPUs or CPUs."""
    on_cpu = config.device == "cpu" or not torch.cuda.is_available()
    return Accelerator(cpu=on_cpu, mixed_precision="bf16" if config.precision == "bfloat16" else "no")


def announce(text: str) -> None:
    """Print a line, in the first process alone, also before the processes have joined."""
    if int(os.environ.get("RANK", "0")) == 0:
        print(text, flush=True)
