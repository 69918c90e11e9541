"""A program that trains the toy in each of several processes.

One run is without noise, one with, and one with and with loader processes, stopped by the last process and resumed.
"""

import sys
from pathlib import Path

from toy_training import ToyObjective, seeded_toy, stop_at, toy_config, toy_trainer


def together(directory: Path) -> None:
    toy_trainer(directory / "quiet", toy_config()).fit()
    toy_trainer(directory / "whole", toy_config(), seeded_toy(noise=0.3)).fit()
    loaded = toy_config(num_workers=1)
    first = toy_trainer(directory / "halves", loaded, seeded_toy(noise=0.3))
    if not first.accelerator.is_main_process:
        stop_at(first, 9)
    assert first.fit().step == 9
    toy_trainer(directory / "halves", loaded, ToyObjective(noise=0.3), resume=True).fit()


if __name__ == "__main__":
    together(Path(sys.argv[1]))
