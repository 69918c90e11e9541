"""What the routes work with: settings, engines, metrics, and a few threads for everything that is not a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, ParamSpec, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter
from fastapi import Depends
from starlette.requests import HTTPConnection

from server.access.keys import KeyRing
from server.engine.device import compute_on
from server.engine.engines import Engines
from server.mel.extraction import MelExtractor
from server.settings import Settings
from server.telemetry.metrics import Metrics
from server.transport.drain import Drain
from vocoder.audio.origin import Origin
from vocoder.guard.guard import Guard
from vocoder.mel.config import PRESETS, MelConfig

__all__ = ["Service", "ServiceDependency"]

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Service:
    """The parts of one running application."""

    settings: Settings
    engines: Engines
    metrics: Metrics
    extractor: MelExtractor
    limiter: CapacityLimiter
    drain: Drain
    keys: KeyRing | None
    guard: Guard | None = None
    contracts: Mapping[str, MelConfig] = field(default_factory=lambda: PRESETS)
    """mel contracts that requests may name"""

    def origin(self, model: str, seed: int | None) -> Origin | None:
        """Return what audio is to say of where it comes from; None where the settings have it say nothing."""
        return Origin(model, seed=seed) if self.settings.origin else None

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a blocking function on one of the worker threads, which take one core each: the model has the others."""

        def work() -> R:
            compute_on(1)
            return function(*args, **kwargs)

        return await anyio.to_thread.run_sync(work, limiter=self.limiter)


async def get_service(connection: HTTPConnection) -> Service:
    """Return the service of the application that a request or WebSocket came to; FastAPI gives others a thread."""
    service = connection.app.state.service
    assert isinstance(service, Service)
    return service


ServiceDependency = Annotated[Service, Depends(get_service)]
