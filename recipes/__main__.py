"""`python -m recipes NAME ...`: what made the files that ship."""

import sys
from collections.abc import Sequence

from vocoder.command_line import run_program

COMMANDS = {
    "prepare": ("recipes.corpora.command", "prepare the corpora behind the files that ship"),
    "pitch": ("recipes.pitch.train", "fit the network that reads the pitch from the mel"),
    "guard": ("recipes.guard.command", "fit the mel guard: densities of mels in many conventions"),
    "adapter": ("recipes.adapters.command", "fit an adapter, which takes mels of another convention to a model's"),
    "adapted-mels": ("recipes.adapters.pairs", "list recordings once more, with mels of other presets"),
    "acoustic-speech": ("recipes.acoustic.speech", "synthesize speech with the durations of its phonemes"),
    "acoustic-train": ("recipes.acoustic.training", "train an acoustic model on such speech"),
    "acoustic-predict": ("recipes.acoustic.prediction", "predict the mels of what such models held out"),
}
"""Name -> module with `add_arguments(parser)` and `run(args) -> int`, and one line of help."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    return run_program("recipes", COMMANDS, argv, extra="training")


if __name__ == "__main__":
    sys.exit(main())
