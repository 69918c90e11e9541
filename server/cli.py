"""`vocoder-serve`: the server as a program."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Sequence

from server.spinning import spin_briefly

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM.

    Args:
        arguments: those of the command line if left out; this is then the program, which decides how its threads wait,
            and ends whatever still computes.

    Returns:
        0 after an orderly shutdown; 1 if a model cannot be loaded or fails for good, a port is taken, or work had to be
        cut off at the end; 2 for settings or API keys that are not valid.
    """
    options = _parser().parse_args(arguments)
    if arguments is None:
        spin_briefly(os.environ)
    from server.program import serve  # loads PyTorch, which is told how to wait by now

    code = serve({name: value for name, value in vars(options).items() if value is not None})
    return _end(code) if arguments is None else code


def _end(code: int) -> int:
    """Return the exit code; end with it at once where a model still computes, which Python could not end in order."""
    from server.engine.engines import COMPUTING

    if any(thread.name in COMPUTING for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vocoder-serve",
        description="Serve vocoder models over HTTP.",
        epilog="Every setting can also come from the environment, as VOCODER_ and its name in capitals.",
    )
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on; 0 takes a free one (default: 8000)")
    parser.add_argument(
        "--admin-port", type=int, help="another port for metrics and documentation, which are then not on the first"
    )
    parser.add_argument(
        "--model",
        dest="models",
        action="append",
        metavar="NAME|DIR",
        help="a shipped model or a model directory; repeat it for several models, the first is the default",
    )
    parser.add_argument("--device", help="torch device, such as cpu or cuda (default: cpu)")
    parser.add_argument(
        "--api-keys-file", metavar="FILE", help="file of API keys; only clients with one of them are served"
    )
    parser.add_argument("--log-level", choices=("critical", "error", "warning", "info", "debug"))
    parser.add_argument("--log-format", choices=("auto", "json", "text"))
    return parser
