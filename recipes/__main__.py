"""`python -m recipes NAME ...`: the commands that made the shipped files."""

import sys
from collections.abc import Sequence

from vocoder.command_line import run_program

COMMANDS = {
    "prepare": ("recipes.corpora.command", "prepare the corpora of the shipped files"),
    "guard": ("recipes.guard.command", "fit the mel guard: densities of mels and a recogniser of conventions"),
    "adapter": ("recipes.adapters.command", "fit an adapter that converts mels of another convention to a model's"),
    "adapted-mels": ("recipes.adapters.pairs", "add recordings to a manifest again, with mels of other presets"),
    "acoustic-speech": ("recipes.acoustic.speech", "synthesize speech with the durations of its phonemes"),
    "acoustic-train": ("recipes.acoustic.training", "train an acoustic model on such speech"),
    "acoustic-predict": ("recipes.acoustic.prediction", "predict the mels of utterances that such models held out"),
}
"""Name -> (module with `add_arguments(parser)` and `run(args) -> int`, one line of help)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    return run_program("recipes", COMMANDS, argv, extra="training")


if __name__ == "__main__":
    sys.exit(main())
