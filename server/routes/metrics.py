"""GET /metrics, for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from server.service import ServiceDependency

__all__ = ["router"]

router = APIRouter(tags=["health"])


@router.get("/metrics", response_class=Response)
async def metrics(service: ServiceDependency) -> Response:
    """Return all counters, histograms and gauges in the Prometheus text format."""
    return Response(service.metrics.render(), headers={"Content-Type": CONTENT_TYPE_LATEST})
