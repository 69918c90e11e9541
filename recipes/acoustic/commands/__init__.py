"""The commands of `python -m recipes acoustic`."""

COMMANDS = {
    "speech": ("recipes.acoustic.commands.speech", "synthesize speech with the durations of its phonemes"),
    "train": ("recipes.acoustic.commands.train", "train an acoustic model on such speech"),
    "predict": ("recipes.acoustic.commands.predict", "write the mels that models predict of what they held out"),
}
"""Name -> module with `add_arguments(parser)` and `run(args) -> int`, and one line of help."""
