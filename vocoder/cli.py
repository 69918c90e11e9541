"""`vocoder COMMAND ...`: the table of commands."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Protocol, cast

from vocoder import __version__

__all__ = ["COMMANDS", "main", "reason"]

COMMANDS = {
    "mel": ("vocoder.commands.mel", "compute the mel-spectrogram of a recording"),
    "check": ("vocoder.commands.check", "say whether a mel-spectrogram is as its contract says, and if not, why"),
    "synthesize": ("vocoder.commands.synthesize", "turn mel-spectrograms into audio"),
    "resynthesize": ("vocoder.commands.resynthesize", "take a recording to its mel-spectrogram and back"),
    "models": ("vocoder.commands.models", "say which models there are, and what they are"),
    "import": ("vocoder.commands.import_model", "turn a checkpoint of another project into a model directory"),
    "export": ("vocoder.commands.export", "write a model as an ONNX or PyTorch program"),
    "push": ("vocoder.commands.push", "share a model on the Hugging Face hub"),
    "benchmark": ("vocoder.commands.benchmark", "measure how fast a model speaks on this machine"),
}
"""Name -> module with `add_arguments(parser)` and `run(args) -> int`, and one line of help."""

CLOSED_PIPE = 141
"""exit status, as shells have it of a program that SIGPIPE ended"""


class Command(Protocol):
    """What a module of `vocoder.commands` offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""

    def run(self, args: argparse.Namespace) -> int:
        """Do the work and return the exit status."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 on success, 2 where arguments, files or models are wrong (one line on the standard error says why), 141 where
        the output was closed.
    """
    try:
        status = _dispatch(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # whoever read the output has had enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more at its end
        return CLOSED_PIPE


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage())
        return 0 if arguments else 2
    name = arguments[0]
    if name == "--version":
        print(f"vocoder {__version__}")
        return 0
    if name not in COMMANDS:
        return _complain("vocoder", f"there is no command {name!r}; known: {', '.join(COMMANDS)}", 2)
    module, summary = COMMANDS[name]
    command = cast(Command, importlib.import_module(module))  # only the chosen command's libraries are loaded
    parser = argparse.ArgumentParser(prog=f"vocoder {name}", description=summary)
    command.add_arguments(parser)
    args = parser.parse_intermixed_args(arguments[1:])
    try:
        return command.run(args)
    except BrokenPipeError:
        raise
    except (ValueError, OSError) as error:
        return _complain(parser.prog, reason(error), 2)
    except KeyboardInterrupt:
        return _complain(parser.prog, "interrupted", 130)


def reason(error: Exception) -> str:
    """Return the text of an error; of the system's about a file, its name and what is wrong with it."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join(["usage: vocoder COMMAND [-h] ...", "       vocoder --version", "", *lines])


def _complain(program: str, text: str, status: int) -> int:
    print(f"{program}: {' '.join(text.split())}", file=sys.stderr)
    return status
