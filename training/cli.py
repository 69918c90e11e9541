"""`vocoder-train COMMAND ...`: the table of commands."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Protocol, cast

from training.command_error import CommandError
from vocoder.cli import reason

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "prepare": ("training.commands.prepare", "turn recordings into a corpus with a manifest"),
    "waveglow": ("training.commands.waveglow", "fit a WaveGlow"),
    "wavenet": ("training.commands.wavenet", "fit an autoregressive WaveNet, the teacher"),
    "recogniser": ("training.commands.recogniser", "fit the recogniser behind the perceptual loss"),
    "distill": ("training.commands.distill", "fit a student to a teacher's density"),
    "density": ("training.commands.density", "fit a density model: Gaussian, NICE, RealNVP, MAF, IAF, Glow, IAF-VAE"),
    "guard": ("training.commands.guard", "fit the mel guard: densities of mels in many conventions"),
    "ablate": ("training.commands.ablate", "measure what each loss of the distillation is worth"),
    "evaluate": ("training.commands.evaluate", "score models beside Griffin-Lim and the recordings"),
    "publish": ("training.commands.publish", "write a trained model with its scores and its card"),
}
"""Name -> module with `add_arguments(parser)` and `run(args) -> int`, and one line of help."""


class Command(Protocol):
    """What a module of `training.commands` offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""

    def run(self, args: argparse.Namespace) -> int:
        """Do the work and return the exit status."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 on success, 1 where the work failed, 2 where arguments, configuration or data are wrong (one line says why).
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage())
        return 0 if arguments else 2
    name = arguments[0]
    if name not in COMMANDS:
        return _complain(f"there is no command {name!r}; known: {', '.join(COMMANDS)}", 2)
    module, summary = COMMANDS[name]
    try:
        command = cast(Command, importlib.import_module(module))  # only the chosen command's libraries are loaded
    except ModuleNotFoundError as error:
        return _complain(f"{name} needs the package {error.name}: install the training extra, '.[training]'", 1)
    parser = argparse.ArgumentParser(prog=f"vocoder-train {name}", description=summary)
    command.add_arguments(parser)
    try:
        return command.run(parser.parse_intermixed_args(arguments[1:]))
    except (ValueError, OSError) as error:
        return _complain(reason(error), 2)
    except CommandError as error:
        return _complain(str(error), 1)
    except KeyboardInterrupt:
        return _complain("interrupted", 130)


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join(["usage: vocoder-train COMMAND [-h] ...", "", *lines])


def _complain(text: str, status: int) -> int:
    print(f"vocoder-train: {' '.join(text.split())}", file=sys.stderr)
    return status
