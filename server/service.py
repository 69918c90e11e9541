"""The parts of a running application that routes work with."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from fastapi import Depends
from starlette.requests import HTTPConnection

from server.engine.engine import Engine
from server.engine.engines import Engines
from server.engine.jobs import Job, at_once
from server.engine.queue import WorkQueue
from server.limits.keys import KeyRing
from server.limits.shares import Drain, Pool
from server.settings import Settings
from server.telemetry.requests import Metrics
from vocoder.audio.origin import Origin
from vocoder.mel.config import PRESETS, MelConfig

R = TypeVar("R")


@dataclass(frozen=True)
class Service:
    """The parts of one running application. `mel_configs` are those that requests may name."""

    settings: Settings
    engines: Engines
    metrics: Metrics
    workers: WorkQueue
    """prepares mels and encodes audio"""
    mels: WorkQueue
    """computes mels from audio"""
    drain: Drain
    requests: Pool
    """requests and WebSockets in flight"""
    memory: Pool
    """bytes that they hold"""
    keys: KeyRing | None
    mel_configs: Mapping[str, MelConfig] = field(default_factory=lambda: PRESETS)

    def origin(self, engine: Engine, seed: int | None) -> Origin | None:
        """Return the origin to write into audio; None if the settings turn it off."""
        return Origin(engine.name, seed=seed, dtype=engine.model.dtype) if self.settings.origin else None

    async def run(self, function: Callable[..., R], *arguments: Any, new: bool = False) -> R:
        """Run a function of milliseconds on a worker, in fair turns; it leaves the queue if the caller does.

        Raises a QueueFullError if it would wait too long, and is `new`: part of no work that was admitted.
        """
        job = Job(1, parts=at_once(function, *arguments))
        result: R = await asyncio.wrap_future(self.workers.submit(job, limited=new))
        return result


async def get_service(connection: HTTPConnection) -> Service:
    """Return the service of a connection's application. It is async, since FastAPI runs others on a thread."""
    service = connection.app.state.service
    assert isinstance(service, Service)
    return service


ServiceDependency = Annotated[Service, Depends(get_service)]
