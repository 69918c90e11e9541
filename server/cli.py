"""`vocoder-serve`: the server as a program."""

import argparse
import asyncio
import logging
import os
import sys
import threading
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

from vocoder.command_line import option_parser

PROGRAM = "vocoder-serve"
SPIN_ROUNDS = "10000"  # a tenth of a millisecond or two; longer than from one operation of a model to the next
SPIN_CHOICES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM.

    Args:
        arguments: by default those of the command line. Then this is the whole process: it decides how its threads
            wait, and ends whatever still computes.

    Returns:
        0 after an orderly shutdown; 1 if a model cannot be loaded or fails for good, a port is taken, or work was cut
        off at the end; 2 for invalid settings or API keys.
    """
    if arguments is None:
        _open_standard_files()
    options = _parser().parse_args(arguments)
    if arguments is None:
        prepare_computing(os.environ)
    code = _serve({name: value for name, value in vars(options).items() if value is not None})
    return _end(code) if arguments is None else code


def prepare_computing(environment: MutableMapping[str, str]) -> None:
    """Limit how long idle OpenMP threads spin, unless the environment already says. Call it before torch is loaded.

    GNU's OpenMP spins for 300,000 rounds, several milliseconds, after each run of a model. Meanwhile its threads keep a
    core from encoding that run's audio and answering. (`vocoder.load` sets up the memory of the C library.)
    """
    if not any(name in environment for name in SPIN_CHOICES):
        environment["GOMP_SPINCOUNT"] = SPIN_ROUNDS


def _open_standard_files() -> None:
    """Open what was closed at the start. Otherwise the first socket gets its number, and what is printed goes there."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def _serve(given: Mapping[str, Any]) -> int:
    """Serve with these settings, and those of the environment for others; report errors in one line."""
    from pydantic import ValidationError  # these load torch

    from server.limits.keys import KeyFileError
    from server.process import ListenError, run
    from server.settings import PREFIX, Settings, unknown_variables
    from vocoder.config import ConfigError

    for warning in unknown_variables(os.environ):
        print(f"{PROGRAM}: {warning}", file=sys.stderr)
    try:
        return asyncio.run(run(Settings(**given)))
    except ValidationError as error:
        for entry in error.errors():
            name = "".join(f"{PREFIX}{part}: ".upper() for part in entry["loc"][:1])
            print(f"{PROGRAM}: {name}{entry['msg'].removeprefix('Value error, ')}", file=sys.stderr)
    except (ListenError, KeyFileError, ConfigError) as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 1 if isinstance(error, ListenError) else 2
    return 2


def _end(code: int) -> int:
    """Return the exit code, or exit at once if a model still computes, which Python could not interrupt."""
    from server.service import COMPUTING

    if any(thread.name.startswith(COMPUTING) for thread in threading.enumerate()):
        sys.stdout.flush()
        logging.shutdown()  # writes the last lines
        os._exit(code)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = option_parser(
        prog=PROGRAM,
        description="Serve vocoder models over HTTP.",
        epilog="Every setting can also come from the environment, as VOCODER_ and its name in capitals.",
    )
    add = parser.add_argument
    add("--host", help="address to listen on (default: 127.0.0.1)")
    add("--port", type=int, help="port to listen on; 0 picks a free one (default: 8000)")
    add("--admin-port", type=int, help="separate port for metrics and documentation")
    models = "a shipped model or a model directory; may be repeated, the first model is the default"
    add("--model", dest="models", action="append", metavar="NAME|DIR", help=models)
    add("--device", help="torch device, such as cpu or cuda (default: cpu)")
    add("--api-keys-file", metavar="FILE", help="file of API keys; only clients with a key are served")
    add("--log-level", choices=("critical", "error", "warning", "info", "debug"))
    add("--log-format", choices=("auto", "json", "text"))
    return parser
