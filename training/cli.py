"""`vocoder-train COMMAND ...`: the table of commands."""

from collections.abc import Sequence

from vocoder.command_line import run_program

COMMANDS = {
    "prepare": ("training.commands.prepare", "turn recordings into a corpus with a manifest"),
    "waveglow": ("training.runs.waveglow", "fit a WaveGlow"),
    "wavenet": ("training.runs.wavenet", "fit an autoregressive WaveNet, the teacher"),
    "distill": ("training.commands.distill", "fit a student to a teacher: a fast model from a slow one"),
    "finetune": ("training.finetune.command", "fit the shipped model to your voice, from its recordings"),
    "density": ("training.density.command", "fit a density model: Gaussian, NICE, RealNVP, MAF, IAF, Glow, IAF-VAE"),
    "evaluate": ("training.commands.evaluate", "score models beside Griffin-Lim and the recordings"),
    "publish": ("training.commands.publish", "write the directory of a trained model, with scores and a model card"),
}
"""Name -> module with `add_arguments(parser)` and `run(args) -> int`, and one line of help."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    return run_program("vocoder-train", COMMANDS, argv, extra="training")
