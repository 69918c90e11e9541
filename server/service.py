"""The parts of a running application that routes work with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, ParamSpec, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter
from fastapi import Depends
from starlette.requests import HTTPConnection

from server.audio.extraction import MelExtractor
from server.engine.device import compute_on
from server.engine.engine import Engine
from server.engine.engines import Engines
from server.limits.gate import Drain
from server.limits.keys import KeyRing
from server.settings import Settings
from server.telemetry.metrics import Metrics
from vocoder.audio.origin import Origin
from vocoder.mel.config import PRESETS, MelConfig

__all__ = ["Service", "ServiceDependency"]

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Service:
    """The parts of one running application. `mel_configs` are those that requests may name."""

    settings: Settings
    engines: Engines
    metrics: Metrics
    extractor: MelExtractor
    limiter: CapacityLimiter
    drain: Drain
    keys: KeyRing | None
    mel_configs: Mapping[str, MelConfig] = field(default_factory=lambda: PRESETS)

    def origin(self, engine: Engine, seed: int | None) -> Origin | None:
        """Return the origin to write into audio; None if the settings turn it off."""
        return Origin(engine.name, seed=seed, dtype=engine.dtype) if self.settings.origin else None

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a blocking function on a worker thread. Each computes on one core; the model has the others."""

        def work() -> R:
            compute_on(1)
            return function(*args, **kwargs)

        return await anyio.to_thread.run_sync(work, limiter=self.limiter)


async def get_service(connection: HTTPConnection) -> Service:
    """Return the service of a connection's application. It is async, since FastAPI runs others on a thread."""
    service = connection.app.state.service
    assert isinstance(service, Service)
    return service


ServiceDependency = Annotated[Service, Depends(get_service)]
