"""`python -m recipes NAME ...`: what made the files that ship."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from recipes.acoustic.commands import COMMANDS as ACOUSTIC
from vocoder.program import run_program

__all__ = ["COMMANDS", "GROUPS", "main"]

COMMANDS = {
    "acoustic": ("recipes.acoustic.commands", "an acoustic model, and the mels that it predicts of recordings"),
}
"""Name -> module with `add_arguments(parser)` and `run(args) -> int`, and one line of help."""

GROUPS = {"acoustic": ACOUSTIC}
"""Of the commands above, those that have commands of their own."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in GROUPS:
        return run_program(f"recipes {arguments[0]}", GROUPS[arguments[0]], arguments[1:], extra="training")
    return run_program("recipes", COMMANDS, arguments, extra="training")


if __name__ == "__main__":
    sys.exit(main())
