"""The server process: it listens, prints one line when ready, handles signals, and returns an exit code."""

import asyncio
import logging
import math
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import FrameType

import uvicorn

from server.app import create_admin_app, create_app
from server.engine.engine import EngineState
from server.limits.connections import server_config
from server.limits.gate import Drain
from server.service import Engines, LoadError, Service
from server.settings import Settings
from server.telemetry.logs import STANDARD_OUTPUT, logging_config, say
from vocoder.directories import CheckpointError, local_directory
from vocoder.synthesis.synthesizer import Synthesizer

logger = logging.getLogger(__name__)

SIGNAL_EXIT = 128  # exit code minus signal number, by the shells' convention


class ListenError(Exception):
    """The server cannot listen on an address."""


class QuietServer(uvicorn.Server):
    """uvicorn's server without signal handlers and without its "started" line, which comes before the models load."""

    def _log_started_message(self, listeners: Sequence[socket.SocketType]) -> None:
        """Say nothing."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        """Leave signals to others."""
        return nullcontext()


class DrainingServer(QuietServer):
    """The main server. The first signal makes it finish accepted work, the second ends it at once."""

    capture_signals = uvicorn.Server.capture_signals

    def __init__(self, config: uvicorn.Config, drain: Drain) -> None:
        super().__init__(config)
        self._drain = drain
        self.cut_off = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Start draining on the first signal; exit on the second."""
        if self._drain.began is not None:
            os._exit(SIGNAL_EXIT + sig)  # nothing that hangs in this process can delay it
        self._drain.began = time.monotonic()

    async def on_tick(self, counter: int) -> bool:
        """Return whether to stop. uvicorn calls this every 0.1 s."""
        if self._drain.finished:
            self.cut_off = self._drain.requests.used > 0
            if self.cut_off:
                logger.warning("%d requests did not finish in time and are being cut off", self._drain.requests.used)
            self.config.timeout_graceful_shutdown = max(1, math.ceil(self._drain.remaining))
            return True
        return await super().on_tick(counter)


async def run(settings: Settings, load: Callable[[str], Synthesizer] | None = None) -> int:
    """Serve until a signal arrives, and return the exit code. Tests pass `load` to replace the real models.

    Raises a ListenError if it cannot listen on an address, and a LoadError if there is no model of a name.
    """
    for model in settings.models if load is None else ():  # before anything starts
        try:
            local_directory(model)
        except CheckpointError as error:  # it has no directory, and is no Hugging Face repository
            raise LoadError(f"cannot load model {model}: {error}") from error
    with _listener(settings.host, settings.port, "port"):
        if settings.admin_port is not None:
            _listener(settings.admin_host, settings.admin_port, "admin-port").close()
    app = create_app(settings, load)
    service: Service = app.state.service
    log_config = logging_config(settings.log_format, settings.log_level)
    logging.captureWarnings(True)  # otherwise the warnings module writes them to standard error
    config = server_config(app, settings, host=settings.host, port=settings.port, log_config=log_config)
    servers: list[uvicorn.Server] = [main := DrainingServer(config, service.drain)]
    if settings.admin_port is not None:
        listen = {"host": settings.admin_host, "port": settings.admin_port}
        admin = server_config(create_admin_app(app), settings, **listen, lifespan="off", log_config=None)
        servers.append(QuietServer(admin))
    # SIGHUP would end the process. It asks servers to reload their files, which this one does by itself.
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, lambda: None)
    watch = asyncio.create_task(_watch(servers, service.engines, service.drain))
    try:
        await _serve(servers)
    except SystemExit:  # uvicorn could not start, and logged why
        return 1
    finally:
        watch.cancel()
        (failure,) = await asyncio.gather(watch, return_exceptions=True)
    return 1 if isinstance(failure, LoadError) or main.cut_off else 0


def _listener(host: str, port: int, option: str) -> socket.socket:
    """Listen on an address, to find errors before models are loaded; raises a ListenError."""
    try:
        family, *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        known = (error.errno or 0) > 0 and not isinstance(error, socket.gaierror)
        reason = os.strerror(error.errno or 0) if known else error.strerror or "it is no address"
        hint = f"--{option} chooses another port" if known else "--host chooses another address"
        raise ListenError(f"cannot listen on {host}:{port}: {reason}; {hint}") from error


async def _serve(servers: list[uvicorn.Server]) -> None:
    """Run all servers until the first one ends."""
    main, *others = servers
    tasks = [asyncio.create_task(other.serve()) for other in others]
    try:
        await main.serve()
    finally:
        for other in others:
            other.config.timeout_graceful_shutdown, other.should_exit = 1, True  # a model may still be loading
        await asyncio.gather(*tasks)


async def _watch(servers: list[uvicorn.Server], engines: Engines, drain: Drain) -> None:
    """Print one line when everything is ready. Stop the server if a model cannot be loaded or fails permanently."""
    try:
        await engines.wait_ready()
        while not all(server.started for server in servers):
            await asyncio.sleep(0.05)
        names = ", ".join(engine.name for engine in engines)
        metrics = f", metrics on {_address(servers[1])}" if len(servers) > 1 else ""
        logger.info("ready on %s", _address(servers[0]))
        say(f"vocoder-serve: ready on {_address(servers[0])} ({names}){metrics}", STANDARD_OUTPUT)
        while not (failed := [engine.name for engine in engines if engine.state is EngineState.FAILED]):
            await asyncio.sleep(0.2)
        raise LoadError(f"{', '.join(failed)} failed and cannot recover; see the log")
    except LoadError as error:
        if drain.began is not None:  # a signal stopped the loading
            return
        say(f"vocoder-serve: {error}")
        servers[0].should_exit = True
        raise


def _address(server: uvicorn.Server) -> str:
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{port}"
