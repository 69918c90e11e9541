"""`vocoder COMMAND ...`: the table of commands."""

from collections.abc import Sequence

from vocoder.command_line import run_program

COMMANDS = {
    "mel": ("vocoder.commands.mel", "compute the mel-spectrogram of a recording"),
    "check": ("vocoder.commands.check", "say whether a mel-spectrogram fits its mel config, and what is wrong with it"),
    "synthesize": ("vocoder.commands.synthesize", "turn mel-spectrograms into audio"),
    "resynthesize": ("vocoder.commands.resynthesize", "compute the mel of a recording and synthesize it again"),
    "info": ("vocoder.commands.info", "show what an audio file is, and which model and seed made it"),
    "models": ("vocoder.commands.models", "list the models and describe them"),
    "import": ("vocoder.commands.import_model", "turn a checkpoint of another project into a model directory"),
    "export": ("vocoder.commands.export", "write a model as an ONNX or PyTorch program"),
    "benchmark": ("vocoder.commands.benchmark", "measure how fast a model synthesizes on this machine"),
}
"""Name -> module with `add_arguments(parser)` and `run(args) -> int`, and one line of help."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    return run_program("vocoder", COMMANDS, argv)
