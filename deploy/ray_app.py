"""The service on Ray Serve, one replica for each GPU or share of the processors.

    pip install -c constraints.txt '.[server,ray]'
    serve run deploy.ray_app:app replicas=2 gpus=1

Everything about the server itself comes from the `VOCODER_*` variables of whoever runs this, as everywhere. A replica
joins when its models have run for real, and is replaced when /livez would say that it is stuck.
"""

import os
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send

from server.app import create_app
from server.settings import Settings

SPARE_SECONDS = 5.0  # between the end of the server's own draining and Ray's patience
REPLICA_HEADER = "X-Replica"


class Placement(BaseModel):
    """How many replicas there are, and what each takes of the cluster."""

    model_config = ConfigDict(extra="forbid")

    replicas: int = Field(default=2, ge=1)
    cpus: float = Field(default=2.0, gt=0)
    gpus: float = Field(default=0.0, ge=0)


class ReplicaHeader:
    """Say in every answer which replica gave it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._name = serve.get_replica_context().replica_id.unique_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""

        async def named(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REPLICA_HEADER] = self._name
            await send(message)

        await self._app(scope, receive, named)


def build() -> FastAPI:
    """Build the application of one replica; its start ends when every model is ready.

    Raises:
        LoadError: at its start, where a model cannot be loaded.
    """
    app = create_app()
    app.add_middleware(ReplicaHeader)
    start = app.router.lifespan_context

    @asynccontextmanager
    async def start_ready(app: FastAPI) -> AsyncIterator[None]:
        async with start(app):
            await app.state.service.engines.wait_ready()
            yield

    app.router.lifespan_context = start_ready
    return app


class VocoderReplica:
    """One application with its models."""

    app: Any

    async def check_health(self) -> None:
        """Raise an error where only a new replica helps."""
        service = self.app.state.service
        dead = [engine.name for engine in service.engines if not engine.alive(service.settings.stall_timeout)]
        if dead:
            raise RuntimeError(f"failed, stopped or stuck: {', '.join(dead)}")


def app(placement: Placement) -> serve.Application:
    """Describe the deployment; `serve run` calls this with its `name=value` arguments."""
    variables = {name: value for name, value in os.environ.items() if name.startswith("VOCODER_")}
    variables.setdefault("VOCODER_DEVICE", "cuda" if placement.gpus else "cpu")
    settings = Settings()
    deployment = serve.deployment(
        serve.ingress(build)(VocoderReplica),
        name="vocoder",
        num_replicas=placement.replicas,
        # The server's own queue decides what waits and what is turned away with Retry-After, so more must reach it.
        max_ongoing_requests=2 * settings.queue_size,
        max_queued_requests=settings.queue_size,
        graceful_shutdown_timeout_s=settings.drain_timeout + SPARE_SECONDS,
        ray_actor_options={
            "num_cpus": placement.cpus,
            "num_gpus": placement.gpus,
            "runtime_env": {"env_vars": variables},
        },
    )
    return deployment.bind()
