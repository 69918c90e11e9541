"""The commands of `vocoder`."""

from collections.abc import Sequence

from vocoder.command_line import run_program

COMMANDS = {
    "mel": ("vocoder.commands.mel", "compute the mel-spectrograms of recordings"),
    "check": ("vocoder.commands.check", "check whether mels are typical of their mel config, and say what is wrong"),
    "synthesize": ("vocoder.commands.synthesize", "turn mel-spectrograms into audio files"),
    "resynthesize": ("vocoder.commands.resynthesize", "compute the mels of recordings and synthesize them"),
    "info": ("vocoder.commands.info", "show the format of audio files, and which model and seed made them"),
    "models": ("vocoder.commands.models", "describe the shipped models, or one model with its measured quality"),
    "import": ("vocoder.commands.import_model", "convert another project's checkpoint to a model directory"),
    "export": ("vocoder.commands.export", "write a model as an ONNX or PyTorch program"),
    "benchmark": ("vocoder.commands.benchmark", "measure how fast a model synthesizes on this machine"),
}
"""name -> (module with `add_arguments(parser)` and `run(args) -> int`, one line of help)"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    return run_program("vocoder", COMMANDS, argv)
