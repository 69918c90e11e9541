"""`python -m recipes NAME ...`: what made the files that ship."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from recipes.acoustic.commands import COMMANDS as ACOUSTIC
from vocoder.command_line import run_program

__all__ = ["COMMANDS", "GROUPS", "main"]

COMMANDS = {
    "prepare": ("recipes.corpora.command", "prepare the corpora behind the files that ship"),
    "pitch": ("recipes.pitch.train", "fit the network that reads the pitch from the mel"),
    "pitch-table": ("recipes.pitch.table", "measure pitch networks beside a tracker, by voice and playing speed"),
    "guard": ("recipes.guard.command", "fit the mel guard: densities of mels in many conventions"),
    "adapter": ("recipes.adapters.command", "fit an adapter, which takes mels of another convention to a model's"),
    "recogniser": ("recipes.recogniser.command", "fit the recogniser behind the perceptual loss"),
    "ablate": ("recipes.ablation.command", "measure what each loss of the distillation is worth"),
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
