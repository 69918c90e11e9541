"""A program that trains the toy, for tests that start, kill and combine processes.

train_toy.py alone DIRECTORY: noise in the loss, loader processes, a checkpoint after every step.
train_toy.py together DIRECTORY: in several processes, without noise, with noise, and stopped and resumed.
"""

import sys
import time
from pathlib import Path

from toy_training import ToyObjective, seeded_toy, stop_at, toy_config, toy_trainer


def alone(directory):
    objective = seeded_toy(noise=0.3)
    objective.on_step = lambda step: time.sleep(0.02)
    toy_trainer(directory, toy_config(steps=30, num_workers=1, log_steps=1, checkpoint_minutes=1e-9), objective).fit()


def together(directory):
    toy_trainer(directory / "quiet", toy_config()).fit()
    toy_trainer(directory / "whole", toy_config(), seeded_toy(noise=0.3)).fit()
    first = toy_trainer(directory / "halves", toy_config(), seeded_toy(noise=0.3))
    if not first.accelerator.is_main_process:
        stop_at(first, 9)
    assert first.fit().step == 9
    last = toy_trainer(directory / "halves", toy_config(), ToyObjective(noise=0.3), resume=True)
    last.fit()
    last.accelerator.end_training()
    names = [file.read_text() for file in Path("/proc/self/task").glob("*/comm")]
    assert not any("gloo" in name for name in names), "a thread of the group can abort the interpreter's exit"


if __name__ == "__main__":
    {"alone": alone, "together": together}[sys.argv[1]](Path(sys.argv[2]))
