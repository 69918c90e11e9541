"""One process that serves until it is told to stop: listening, the line that says ready, signals, the exit code."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from types import FrameType

import uvicorn

from server.access.keys import KeyRing
from server.admin import create_admin_app
from server.app import create_app
from server.engine.engines import Engines, LoadError
from server.engine.errors import EngineState
from server.engine.synthesizer import Load
from server.service import Service
from server.settings import Settings
from server.telemetry.logs import logging_config
from server.transport.connections import LimitedConfig
from server.transport.drain import Drain

__all__ = ["ListenError", "run"]

logger = logging.getLogger(__name__)


SIGNAL_EXIT = 128  # what shells add to a signal's number


class ListenError(Exception):
    """An address cannot be listened on; the text says which and why."""


class DrainingServer(uvicorn.Server):
    """uvicorn's server, that on a first signal lets accepted work finish and on a second ends at once."""

    def __init__(self, config: LimitedConfig, drain: Drain) -> None:
        super().__init__(config)
        self._drain = drain
        self._loop: asyncio.AbstractEventLoop | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain, or end."""
        if self._drain.begun.is_set():
            os._exit(SIGNAL_EXIT + sig)  # whatever is stuck in this process cannot hold this up
        if self._loop is None:
            self.should_exit = True  # not listening yet
        else:
            self._loop.call_soon_threadsafe(self._drain.begin)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Tell every tenth of a second whether to stop listening and close."""
        if self._drain.finished:
            if self._drain.overdue:
                logger.warning("%d requests did not finish in time and are cut off", self._drain.in_flight)
            self.config.timeout_graceful_shutdown = max(1, math.ceil(self._drain.remaining))
            return True
        return await super().on_tick(counter)

    def _log_started_message(self, listeners: Sequence[socket.SocketType]) -> None:
        """Say nothing yet: whoever reads that a server runs sends it requests, and its models are still loading."""


class QuietServer(uvicorn.Server):
    """A second server beside the first, which alone listens to signals."""

    def _log_started_message(self, listeners: Sequence[socket.SocketType]) -> None:
        """Leave it to the first to say that all is ready."""

    def capture_signals(self) -> ExitStack:  # type: ignore[override]
        """Leave signals to others."""
        return ExitStack()


async def run(settings: Settings, load: Load | None = None) -> int:
    """Serve until a signal, and return the exit code.

    Args:
        settings: where to listen, and everything else.
        load: from a model's name or directory to a synthesizer; the real thing if left out.

    Raises:
        ListenError: an address cannot be listened on.
    """
    _require_free(settings.host, settings.port, "port")
    if settings.admin_port is not None:
        _require_free(settings.admin_host, settings.admin_port, "admin-port")
    app = create_app(settings, load)
    service: Service = app.state.service
    log_config = logging_config(settings.log_format, settings.log_level)
    config = LimitedConfig(app, settings, host=settings.host, port=settings.port, log_config=log_config)
    server = DrainingServer(config, service.drain)
    servers: list[uvicorn.Server] = [server]
    if settings.admin_port is not None:
        admin = LimitedConfig(
            create_admin_app(app),
            settings,
            host=settings.admin_host,
            port=settings.admin_port,
            lifespan="off",
            log_config=None,
        )
        servers.append(QuietServer(admin))
    _survive_hangup(service.keys)
    watch = asyncio.create_task(_watch(servers, service.engines))
    try:
        await _serve(servers)
    except SystemExit:  # uvicorn's way to say that it could not start, after logging why
        return 1
    finally:
        watch.cancel()
        (failure,) = await asyncio.gather(watch, return_exceptions=True)
    return 1 if isinstance(failure, LoadError) or service.drain.overdue else 0


def _survive_hangup(keys: KeyRing | None) -> None:
    """Have SIGHUP, which would end the process, read the file of keys again; without one it does nothing."""

    def reread() -> None:
        if keys is not None:
            asyncio.get_running_loop().run_in_executor(None, keys.refresh)

    if hasattr(signal, "SIGHUP") and threading.current_thread() is threading.main_thread():
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reread)


def _require_free(host: str, port: int, option: str) -> None:
    """Find out before any model is loaded whether an address can be listened on."""
    try:
        family, *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        known = error.errno is not None and not isinstance(error, socket.gaierror)
        reason = os.strerror(error.errno or 0) if known else error.strerror
        hint = f"--{option} chooses another port" if known else "--host chooses another address"
        raise ListenError(f"cannot listen on {host}:{port}: {reason}; {hint}") from error


async def _serve(servers: list[uvicorn.Server]) -> None:
    """Run the first server, and the others for as long as it runs."""
    main, *others = servers
    tasks = [asyncio.create_task(other.serve()) for other in others]
    try:
        await main.serve()
    finally:
        for other in others:
            other.should_exit = True
        await asyncio.gather(*tasks)


async def _watch(servers: list[uvicorn.Server], engines: Engines) -> None:
    """Print one line when everything is ready; stop serving when it never will be, or is no more."""
    try:
        await engines.wait_ready()
        while not all(server.started for server in servers):
            await asyncio.sleep(0.05)
        names = ", ".join(engine.name for engine in engines)
        beside = f", metrics on {_address(servers[1])}" if len(servers) > 1 else ""
        logger.info("ready on %s", _address(servers[0]))
        print(f"vocoder-serve: ready on {_address(servers[0])} ({names}){beside}", flush=True)
        await _wait_failed(engines)
    except LoadError as error:
        print(f"vocoder-serve: {error}", file=sys.stderr, flush=True)
        servers[0].should_exit = True
        raise


async def _wait_failed(engines: Engines) -> None:
    """Wait until a model fails for good: then only a new process helps."""
    while True:
        failed = [engine.name for engine in engines if engine.state is EngineState.FAILED]
        if failed:
            raise LoadError(f"{', '.join(failed)} failed for good; the log says why")
        await asyncio.sleep(0.2)


def _address(server: uvicorn.Server) -> str:
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{port}"
