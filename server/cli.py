"""`vocoder-serve`: the server as a program."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import uvicorn
from pydantic import ValidationError

from server.app import create_app
from server.engines import Engines, LoadError
from server.settings import Settings

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM.

    Returns:
        0 after an orderly shutdown, 1 if a model cannot be loaded, 2 for settings that are not valid.
    """
    options = _parser().parse_args(arguments)
    try:
        settings = Settings(**{name: value for name, value in vars(options).items() if value is not None})
    except ValidationError as error:
        for entry in error.errors():
            print(f"vocoder-serve: {'.'.join(map(str, entry['loc']))}: {entry['msg']}", file=sys.stderr)
        return 2
    return asyncio.run(_serve(settings))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vocoder-serve",
        description="Serve vocoder models over HTTP.",
        epilog="Every setting can also come from the environment, as VOCODER_ and its name in capitals.",
    )
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on; 0 takes a free one (default: 8000)")
    parser.add_argument(
        "--model",
        dest="models",
        action="append",
        metavar="NAME|DIR",
        help="a shipped model or a model directory; may be given several times, the first is the default",
    )
    parser.add_argument("--device", help="torch device, such as cpu or cuda (default: cpu)")
    parser.add_argument("--log-level", choices=("critical", "error", "warning", "info", "debug"))
    return parser


async def _serve(settings: Settings) -> int:
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_level=settings.log_level,
        limit_concurrency=settings.max_connections,
        timeout_graceful_shutdown=max(1, round(settings.drain_timeout)),
        server_header=False,
    )
    server = uvicorn.Server(config)
    announcement = asyncio.create_task(_announce(server, app.state.service.engines))
    try:
        with _signals_end_quietly():
            await server.serve()
    except SystemExit:  # uvicorn's way to say that it could not start, after logging why
        return 1
    finally:
        announcement.cancel()
        (failure,) = await asyncio.gather(announcement, return_exceptions=True)
    return 1 if isinstance(failure, LoadError) else 0


@contextmanager
def _signals_end_quietly() -> Iterator[None]:
    """Ignore the signal that uvicorn, once it has stopped in good order because of it, raises a second time."""
    handlers = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


async def _announce(server: uvicorn.Server, engines: Engines) -> None:
    """Print one line when everything is ready, or stop the server when it never will be."""
    try:
        await engines.wait_ready()
    except LoadError as error:
        print(f"vocoder-serve: {error}", file=sys.stderr, flush=True)
        server.should_exit = True
        raise
    while not server.started:
        await asyncio.sleep(0.05)
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    address = f"[{host}]" if ":" in host else host
    print(
        f"vocoder-serve: ready on http://{address}:{port} ({', '.join(engine.name for engine in engines)})", flush=True
    )
