"""`vocoder-train COMMAND ...`: the table of commands."""

from collections.abc import Sequence

from vocoder.command_line import run_program

COMMANDS = {
    "prepare": ("training.commands.prepare", "turn recordings into a corpus with a manifest"),
    "waveglow": ("training.runs.waveglow", "fit a WaveGlow"),
    "wavenet": ("training.runs.wavenet", "fit an autoregressive WaveNet, the teacher"),
    "distill": ("training.commands.distill", "fit a fast student model to a slow teacher"),
    "finetune": ("training.finetune.command", "fine-tune the shipped model on recordings of your voice"),
    "density": ("training.density.command", "fit a density model: Gaussian, NICE, RealNVP, MAF, IAF, Glow, IAF-VAE"),
    "evaluate": ("training.commands.evaluate", "score models against Griffin-Lim and the recordings"),
    "publish": ("training.commands.publish", "write a trained model's directory, with scores and a model card"),
}
"""Name -> (module with `add_arguments(parser)` and `run(args) -> int`, one line of help)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    return run_program("vocoder-train", COMMANDS, argv, extra="training")
