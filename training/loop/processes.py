"""The processes and devices of a run, through accelerate."""

from __future__ import annotations

import torch
from accelerate import Accelerator

from training.loop.trainer_config import TrainerConfig

__all__ = ["build_accelerator"]


def build_accelerator(config: TrainerConfig) -> Accelerator:
    """Join the processes that `accelerate launch` or `torchrun` started (one, if none did) on GPUs or CPUs."""
    on_cpu = config.device == "cpu" or not torch.cuda.is_available()
    return Accelerator(cpu=on_cpu, mixed_precision="bf16" if config.precision == "bfloat16" else "no")
