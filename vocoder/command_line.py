"""Programs with several commands: each command's module is imported when it is called; errors are one line."""

import argparse
import importlib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from vocoder import __version__
from vocoder.files import reason

CLOSED_PIPE = 141  # the exit status that shells report for a program killed by SIGPIPE


class _Once(argparse.Action):
    """Stores an option's value or a flag's constant, and refuses repeats, which would silently drop a value."""

    _given = False

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        if self._given:
            raise argparse.ArgumentError(self, "give it once, not several times")
        self._given = option_string is not None
        setattr(namespace, self.dest, self.const if self.nargs == 0 else values)


def option_parser(**details: Any) -> argparse.ArgumentParser:
    """Return an `ArgumentParser(**details)` whose options may be given once, unless their action says otherwise."""
    parser = argparse.ArgumentParser(**details)
    parser.register("action", None, _Once)
    for flag in (True, False):
        action = partial(_Once, nargs=0, const=flag, default=not flag)
        parser.register("action", f"store_{str(flag).lower()}", action)
    return parser


class CommandError(RuntimeError):
    """A command failed for the reason given in the message."""


def run_program(
    program: str, commands: Mapping[str, tuple[str, str]], argv: Sequence[str] | None = None, extra: str = ""
) -> int:
    """Run one command of a program and return its exit status.

    `commands` maps a name to a module with `add_arguments(parser)` and `run(args) -> int`, and one line of help.
    `extra` is the optional dependency group of this package that the commands need.

    The status is 0 on success, 1 if the work failed, 2 if arguments, files, models or configurations are wrong (one
    line on standard error says why), 130 if interrupted, 141 if the reader closed the output.
    """
    try:
        status = _dispatch(program, commands, list(sys.argv[1:] if argv is None else argv), extra)
        print(end="", flush=True)  # unless standard output is closed
        return status
    except BrokenPipeError:  # the reader closed the pipe, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more at its end
        return CLOSED_PIPE


def _dispatch(program: str, commands: Mapping[str, tuple[str, str]], arguments: list[str], extra: str) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"usage: {program} COMMAND [-h] ...\n       {program} --version\n")
        for name, (_, summary) in commands.items():
            print(f"  {name:{max(map(len, commands))}}  {summary}")
        return 0 if arguments else 2
    name = arguments[0]
    if name == "--version":
        print(f"{program} {__version__}")
        return 0
    if name not in commands:
        return complain(program, f"unknown command {name!r}; known: {', '.join(commands)}", 2)
    module, summary = commands[name]
    parser = option_parser(prog=f"{program} {name}", description=summary)
    try:
        command = importlib.import_module(module)  # loads the libraries of this command alone
        command.add_arguments(parser)
        parse = parser.parse_args if "--" in arguments else parser.parse_intermixed_args  # which does not know `--`
        return int(command.run(parse(arguments[1:])))
    except ModuleNotFoundError as error:
        if not extra:
            raise
        return complain(program, f"{name} needs the package {error.name}: install '.[{extra}]'", 1)
    except BrokenPipeError:
        raise
    except (ValueError, OSError) as error:
        return complain(parser.prog, reason(error), 2)
    except CommandError as error:
        return complain(parser.prog, str(error), 1)
    except (MemoryError, RuntimeError) as error:  # torch raises RuntimeErrors
        if not isinstance(error, MemoryError) and "memory" not in str(error):
            raise
        return complain(parser.prog, f"there is not enough memory: {error}", 1)
    except KeyboardInterrupt:
        return complain(parser.prog, "interrupted", 130)


def complain(program: str, text: str, status: int = 2) -> int:
    """Print an error or a warning to standard error, in one line, and return the status."""
    print(f"{program}: {as_options(' '.join(text.split()))}", file=sys.stderr)
    return status


def as_options(text: str) -> str:
    """Return a message that names a parameter, such as preset=nvidia, as the command line takes it."""
    return re.sub(r"\bpreset=(?=\w)", "--preset ", text)
