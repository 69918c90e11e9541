"""`vocoder-serve`: the command that runs the server."""

import argparse
import asyncio
import logging
import os
import resource
import sys
import threading
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

from vocoder.command_line import option_parser

PROGRAM = "vocoder-serve"
SPIN_ROUNDS = "10000"  # 0.1 to 0.2 ms, which is longer than the gap between two operations of a model
OTHER_FILES = 256  # open files besides those of connections
SPIN_CHOICES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM.

    Args:
        arguments: the process's command line by default. In that case this function owns the process: it sets how idle
            threads wait, and kills computations that are still running at the end.

    Returns:
        0 after an orderly shutdown; 1 if a model could not be loaded or failed permanently, a port was taken, or the
        shutdown cut off requests; 2 for invalid settings or API keys.
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

    GNU's OpenMP spins for 300,000 rounds, several milliseconds, after each run of a model. The spinning threads occupy
    cores that should encode that run's audio and send it. (`vocoder.load` configures the C library's allocator.)
    """
    if not any(name in environment for name in SPIN_CHOICES):
        environment["GOMP_SPINCOUNT"] = SPIN_ROUNDS


def _allow_files(connections: int) -> None:
    """Raise the process's limit of open files for so many connections; raises a ConfigError if that is not allowed."""
    from vocoder.config import ConfigError

    needed, (soft, hard) = 2 * connections + OTHER_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    except (ValueError, OSError) as error:
        limit = f"VOCODER_MAX_CONNECTIONS={connections} needs {needed} open files, and this process may open {soft}"
        raise ConfigError(f"{limit}: lower it, or raise the limit (ulimit -n)") from error


def _open_standard_files() -> None:
    """Open closed standard streams on /dev/null. Otherwise a socket gets their number and receives printed text."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def _serve(given: Mapping[str, Any]) -> int:
    """Serve with the given settings, others from the environment; report each error in one line."""
    from pydantic import ValidationError  # the imports below load torch

    from server.limits.keys import KeyFileError
    from server.process import ListenError, run
    from server.service import LoadError
    from server.settings import PREFIX, Settings, unknown_variables
    from vocoder.config import ConfigError

    for warning in unknown_variables(os.environ):
        print(f"{PROGRAM}: {warning}", file=sys.stderr)
    try:
        settings = Settings(**given)
        _allow_files(settings.max_connections)
        return asyncio.run(run(settings))
    except ValidationError as error:
        for entry in error.errors():
            name = "".join(f"{_name(str(part), given, PREFIX)}: " for part in entry["loc"][:1])
            print(f"{PROGRAM}: {name}{entry['msg'].removeprefix('Value error, ')}", file=sys.stderr)
    except (ListenError, LoadError, KeyFileError, ConfigError) as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 1 if isinstance(error, (ListenError, LoadError)) else 2
    return 2


def _name(setting: str, given: Mapping[str, Any], prefix: str) -> str:
    """Return a setting's name as its user gave it: that of an option or of an environment variable."""
    return f"--{setting.removesuffix('s').replace('_', '-')}" if setting in given else f"{prefix}{setting}".upper()


def _end(code: int) -> int:
    """Return the exit code, or exit at once if a model is still computing, because Python cannot interrupt it."""
    from server.service import COMPUTING

    if any(thread.name.startswith(COMPUTING) for thread in threading.enumerate()):
        sys.stdout.flush()
        logging.shutdown()  # flushes the log
        os._exit(code)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = option_parser(
        prog=PROGRAM,
        description="Serve vocoder models over HTTP.",
        epilog="Every setting can also be given as an environment variable: VOCODER_ and its name in capitals.",
    )
    add = parser.add_argument
    add("--host", help="address to listen on (default: 127.0.0.1)")
    add("--port", type=int, help="port to listen on; 0 picks a free one (default: 8000)")
    add("--admin-port", type=int, help="separate port for metrics and documentation")
    models = "a shipped model or a model directory; may be repeated, the first model is the default"
    add("--model", dest="models", action="append", metavar="NAME|DIR", help=models)
    add("--device", help="torch device, such as cpu or cuda (default: cpu)")
    add("--dtype", choices=("auto", "float32", "bfloat16", "int8"), help="precision of most products (default: auto)")
    add("--api-keys-file", metavar="FILE", help="file of API keys; only clients with a key are served")
    add("--log-level", choices=("critical", "error", "warning", "info", "debug"))
    add("--log-format", choices=("auto", "json", "text"))
    return parser
