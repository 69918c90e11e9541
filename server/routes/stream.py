"""WebSocket /v1/stream: frames of a mel in as they are made, audio out as soon as it can be."""

from __future__ import annotations

from fastapi import APIRouter, WebSocket

from server.service import ServiceDependency
from server.stream.session import StreamConversation

__all__ = ["router"]

router = APIRouter(tags=["synthesis"])


@router.websocket("/v1/stream")
async def stream(websocket: WebSocket, service: ServiceDependency) -> None:
    """Speak one mel while it is being made."""
    await StreamConversation(websocket, service).run()
