"""GET /livez, /readyz and /metrics."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from server.addresses import METRICS
from server.engine.errors import LOADING_SECONDS, EngineState
from server.problems import Problem
from server.routes.openapi import problem_responses
from server.service import ServiceDependency

router = APIRouter(tags=["health"])
metrics_router = APIRouter(tags=["health"])


@router.head("/livez", include_in_schema=False)
@router.get("/livez", responses=problem_responses(503))
async def live(service: ServiceDependency) -> dict[str, str]:
    """Answer 200 while the event loop and every model are working; 503 calls for a restart."""
    timeout = service.settings.stall_timeout
    dead = [engine.name for engine in service.engines if not engine.alive(timeout)]
    if dead:
        raise Problem("not-alive", f"Failed, stopped or stuck: {', '.join(dead)}.")
    return {"status": "alive"}


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", responses=problem_responses(503))
async def ready(service: ServiceDependency) -> dict[str, str]:
    """Answer 200 once every model is loaded and warmed up."""
    if not service.engines.ready:
        states = {engine.name: str(engine.state) for engine in service.engines}
        wait = LOADING_SECONDS if EngineState.LOADING in states.values() else None
        raise Problem("not-ready", "Not every model is ready.", retry_after=wait, models=states)
    return {"status": "ready"}


@metrics_router.get(METRICS, response_class=Response)
async def metrics(service: ServiceDependency) -> Response:
    """Return all counters, histograms and gauges in the Prometheus text format."""
    return Response(service.metrics.render(), headers={"Content-Type": CONTENT_TYPE_LATEST})
