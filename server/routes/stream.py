"""WebSocket /v1/stream: frames of a mel in as they are made, audio out as soon as it can be."""

from __future__ import annotations

from fastapi import APIRouter, WebSocket

from server.problems import Problem
from server.service import ServiceDependency
from server.stream.session import WebSocketSession

__all__ = ["router"]

router = APIRouter(tags=["synthesis"])


@router.websocket("/v1/stream")
async def stream(websocket: WebSocket, service: ServiceDependency) -> None:
    """Speak one mel while it is being made."""
    await WebSocketSession(websocket, service).run()


@router.get("/v1/stream", include_in_schema=False)
async def refuse_plain_request() -> None:
    """Tell who asks without an upgrade what would be right."""
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
    raise Problem(426, "upgrade-required", "This address is a WebSocket: dial it as ws:// or wss://.", headers=headers)
