"""`python -m recipes NAME ...`: what made the files that ship."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from vocoder.program import run_program

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "pitch": ("recipes.pitch.train", "fit the network that reads the pitch from the mel"),
    "pitch-table": ("recipes.pitch.table", "measure pitch networks beside a tracker, by voice and playing speed"),
}
"""Name -> module with `add_arguments(parser)` and `run(args) -> int`, and one line of help."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    return run_program("recipes", COMMANDS, argv, extra="training")


if __name__ == "__main__":
    sys.exit(main())
